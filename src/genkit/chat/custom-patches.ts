/** How the state of a chat changes, as its client is told. */
import type { AgentStreamChunk } from 'genkit/beta';
import { diff } from '../../internal/diff.js';

/** Names that Genkit's client refuses to follow in a patch. */
const refusedSegment = /\/(?:__proto__|prototype|constructor)(?:\/|$)/;

/** The state of a chat, as its client knows it. */
export class CustomPatches {
  #known: unknown;
  #isFirst = true;

  /** A turn begins. Its client may know nothing of the ones before, so its first patch is the whole. */
  begin(custom: unknown): void {
    this.#known = custom;
    this.#isFirst = true;
  }

  /** How to get from what the client knows to this; `undefined` when it is the same. */
  next(custom: unknown): AgentStreamChunk['customPatch'] {
    const patch = diff(this.#known, custom);
    this.#known = custom;
    if (patch.length === 0) return undefined;
    const isWhole = this.#isFirst || patch.some(({ path }) => refusedSegment.test(path));
    this.#isFirst = false;
    return isWhole ? [{ op: 'replace', path: '', value: custom }] : patch.map((operation) => ({ ...operation }));
  }
}
