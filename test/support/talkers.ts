/** Agents that say what they are told to, when they are told to, and what was seen of them. */
import { onTestFinished } from 'vitest';
import { z } from '../../schemas/zod.js';
import type { WatchEvent } from '../../src/connection/connection.js';
import { AgentFlowError } from '../../src/errors.js';
import type { Clock } from '../../src/internal/clock.js';
import { Deferred } from '../../src/internal/deferred.js';
import type { SessionStore } from '../../src/session/store.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { testAgent } from './agents.js';
import { freshPath } from './sqlite-clients.js';

/** Opens stores on one file, each as another process would. */
export function machines(): () => SqliteSessionStore {
  const path = freshPath();
  return () => {
    const store = new SqliteSessionStore({ path });
    onTestFinished(() => store.close());
    return store;
  };
}

/** What may be said of a talker. */
export interface TalkerOptions {
  readonly replayChunks?: number;
  readonly maxBufferedChunks?: number;
  readonly leaseTtlMs?: number;
  readonly clock?: Clock;
}

/** Says the chunks of each input one by one, and throws those that are errors. */
export function talker(store: SessionStore | undefined, options: TalkerOptions = {}) {
  const gates = new Map<unknown, Deferred<void>>();
  const stopped = new Deferred<AgentFlowError>();
  const config = { inputSchema: z.array(z.unknown()), ...options, ...(store === undefined ? {} : { store }) };
  const agent = testAgent(config, async ({ turns, responder, signal }) => {
    signal.addEventListener('abort', () => stopped.resolve(signal.reason));
    await turns(async (chunks, turn) => {
      const cut = new Promise((resolve) => turn.signal.addEventListener('abort', resolve, { once: true }));
      for (const chunk of chunks) {
        await Promise.race([gates.get(chunk)?.promise, stopped.promise, cut]);
        if (chunk instanceof Error) throw chunk;
        await responder.send(chunk);
      }
    });
    return { output: 'over' };
  });
  /** A chunk that is not said before the answer is resolved. */
  const hold = (chunk: unknown): Deferred<void> => {
    const gate = new Deferred<void>();
    gates.set(chunk, gate);
    return gate;
  };
  /** `stopped`: why its handler was told to stop. */
  return { ...agent, hold, stopped: stopped.promise };
}

/** All that was seen until the end, and the error it ended with. */
export async function seen(events: AsyncIterable<WatchEvent<unknown>>) {
  const all: WatchEvent<unknown>[] = [];
  let error: AgentFlowError | undefined;
  try {
    for await (const event of events) all.push(event);
  } catch (thrown) {
    error = thrown as AgentFlowError;
  }
  return { all, chunks: chunksOf(all), error };
}

/** The chunks, and a line for the end of a turn. */
export function chunksOf(events: readonly WatchEvent<unknown>[]): unknown[] {
  return events.map((event) => (event.type === 'chunk' ? event.chunk : '|'));
}

/** Reads so many events. */
export async function take(
  events: AsyncIterator<WatchEvent<unknown>>,
  count: number,
): Promise<[WatchEvent<unknown>, ...WatchEvent<unknown>[]]> {
  const { value, done } = await events.next();
  if (done) throw new AgentFlowError('RUN_ENDED', 'The run ended before all was seen');
  return count === 1 ? [value] : [value, ...(await take(events, count - 1))];
}

/** What an iterator has left, to be read in a loop. */
export function rest<T>(events: AsyncIterator<T>): AsyncIterable<T> {
  return { [Symbol.asyncIterator]: () => events };
}
