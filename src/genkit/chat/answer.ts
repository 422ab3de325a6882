/** What a chat's client is told of a turn: the message its chunks make up, and how the state has changed. */
import type { MessageData, Part } from 'genkit';
import type { AgentOutput, AgentStreamChunk } from 'genkit/beta';
import type { AgentFlowError } from '../../errors.js';
import { diff } from '../../internal/diff.js';
import { frozenJson } from '../../internal/json.js';
import { detailsOf, genkitCauseOf } from '../told-errors.js';
import type { ModelChunk } from './shape.js';

/** Why a turn ended, in Genkit's words. */
export type TurnReason = NonNullable<AgentOutput['finishReason']>;

/** The answer of one turn, as its chunks come. */
export class ChatAnswer {
  readonly #parts: Part[] = [];

  /** Text that follows text, and reasoning that follows reasoning, is one part. */
  add({ role = 'model', content, aggregated }: ModelChunk): void {
    if (role !== 'model') return;
    if (aggregated) this.#parts.length = 0;
    for (const part of content) {
      const last = this.#parts.at(-1);
      const joined = last === undefined ? undefined : (join(last, part, 'text') ?? join(last, part, 'reasoning'));
      if (joined === undefined) this.#parts.push(part);
      else this.#parts[this.#parts.length - 1] = joined;
    }
  }

  /** `undefined` when nothing was said. */
  get message(): MessageData | undefined {
    return this.#parts.length === 0 ? undefined : { role: 'model', content: [...this.#parts] };
  }
}

function join(before: Part, after: Part, member: 'text' | 'reasoning'): Part | undefined {
  const [first, second] = [before[member], after[member]];
  const areBare = Object.keys(before).length === 1 && Object.keys(after).length === 1;
  if (!areBare || first === undefined || second === undefined) return undefined;
  return { [member]: first + second } as Part;
}

/** A message of the model that asks for a tool only a human can be: the turn has stopped to wait for the answer. */
export function isInterrupted(message: MessageData | undefined): boolean {
  return message?.content.some((part) => part.toolRequest !== undefined && Boolean(part.metadata?.interrupt)) ?? false;
}

/** What a handler returned, where that is itself an answer. */
export function answerFromOutput(output: unknown): MessageData | undefined {
  if (typeof output === 'string') return output === '' ? undefined : { role: 'model', content: [{ text: output }] };
  const isMessage = typeof output === 'object' && output !== null && 'role' in output && 'content' in output;
  return isMessage && Array.isArray(output.content) ? (output as MessageData) : undefined;
}

/** An error as data on the wire: never a stack or a cause, but the details of one of Genkit's that the handler threw. */
export function wireError(error: AgentFlowError): NonNullable<AgentOutput['error']> {
  const { status, message } = error.toJSON();
  // What becomes of a task is kept in a store, which takes JSON only.
  const thrown = frozenJson(genkitCauseOf(error)?.detail, () => {});
  return { status, message, details: thrown === undefined ? detailsOf(error) : thrown };
}

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
