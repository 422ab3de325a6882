import type { z } from '../../schemas/zod.js';
import type { Outbox } from '../connection/outbox.js';
import type { Responder } from './agent.js';
import { checked } from './checks.js';

/** What a responder needs of its run. */
export interface ResponderHost<Stream> {
  readonly outbox: Outbox<Stream>;
  readonly streamSchema: z.ZodTypeAny;
  /** Throws when nothing may be said any more: the run has ended, or the turn was cut short. */
  assertMaySend(): void;
  /** Told about every chunk on its way. */
  sent(chunk: Stream): void;
  endTurn(): Promise<void>;
}

/** How a handler speaks, over one run. */
export class RunResponder<Chunk, Stream> implements Responder<Chunk> {
  readonly #host: ResponderHost<Stream>;

  constructor(host: ResponderHost<Stream>) {
    this.#host = host;
  }

  // Throws at once instead of rejecting, so that a handler that does not await cannot miss a refusal.
  send(chunk: Chunk): Promise<void> {
    this.#host.assertMaySend();
    const value: Stream = checked(this.#host.streamSchema, chunk, 'chunk');
    this.#host.sent(value);
    return this.#host.outbox.send(value);
  }

  endTurn(): Promise<void> {
    const ended = this.#host.endTurn();
    // A handler may ignore it, as it may every promise it is given.
    ended.catch(() => {});
    return ended;
  }
}
