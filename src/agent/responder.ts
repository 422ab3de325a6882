/** How a handler speaks: chunks are checked, sent, and held back where the reader is slow. */
import type { z } from '../../schemas/zod.js';
import type { Outbox } from '../connection/outbox.js';
import type { Responder } from './agent.js';
import { checked } from './checks.js';

/** What a responder needs of its run. */
export interface ResponderParts<Stream> {
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  /** Throws when nothing may be said any more: the run has ended, or the turn was cut short. */
  assertMaySend(): void;
  /** Told about every chunk before it is sent. */
  sent(chunk: Stream): void;
  endTurn(): Promise<void>;
}

/** How a handler speaks, over one run. */
export class RunResponder<Chunk, Stream> implements Responder<Chunk> {
  readonly #parts: ResponderParts<Stream>;

  constructor(parts: ResponderParts<Stream>) {
    this.#parts = parts;
  }

  // Throws at once instead of rejecting, so that a handler that does not await cannot miss a refusal.
  send(chunk: Chunk): Promise<void> {
    this.#parts.assertMaySend();
    const value: Stream = checked(this.#parts.streamSchema, chunk, 'chunk');
    this.#parts.sent(value);
    return this.#parts.outbox.send(value);
  }

  endTurn(): Promise<void> {
    const ended = this.#parts.endTurn();
    // A handler may ignore it, as it may every promise it is given.
    ended.catch(() => {});
    return ended;
  }
}
