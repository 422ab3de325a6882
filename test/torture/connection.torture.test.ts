/** Storms on the connection and the session, for as long as TORTURE_SECONDS allows. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { isAgentFlowError } from '../../src/errors.js';
import type { BusySessionPolicy } from '../../src/session/lease.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { heapInUse } from '../support/garbage.js';
import { moves, play } from '../support/random-run.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { collect, quiet } from '../support/waiting.js';

const seconds = Number(process.env.TORTURE_SECONDS ?? 60);
const shareMs = (seconds * 1_000) / 3;

describe('a run, again and again', () => {
  it('loses nothing, repeats nothing and leaves nobody waiting', async () => {
    const order = fc.array(fc.nat(10_000), { minLength: 20, maxLength: 400, size: 'max' });
    const ends = new Set<string>();
    const property = async (all: Parameters<typeof play>[0], which: number[], isStored: boolean) => {
      const { story, end } = await play(all, which, isStored ? new MemorySessionStore() : undefined);
      ends.add(end.finishReason);
      expect(story.pending).toBe(0);
      const labels = story.ran.concat(story.steered);
      expect(new Set(labels).size).toBe(labels.length);
      for (const { task, receipt, error } of story.sends) {
        expect([receipt, error]).not.toEqual([undefined, undefined]);
        if (error !== undefined) expect(labels).not.toContain(task.label);
      }
      const read = story.read.flat();
      expect(new Set(read).size).toBe(read.length);
    };
    const storm = fc.asyncProperty(moves(true), order, fc.boolean(), property);
    await fc.assert(storm, { numRuns: 1_000_000, interruptAfterTimeLimit: shareMs, markInterruptAsFailure: false });
    expect(ends).toEqual(new Set(['stop', 'failed', 'aborted']));
  });
});

describe('many processes on few sessions', () => {
  const policies: readonly BusySessionPolicy[] = ['queue', 'queue', 'reject', 'takeover'];
  const sessionIds = ['a', 'b', 'c'];

  /** What may end a connection here; everything else is a defect. */
  const expected = new Set(['SESSION_BUSY', 'LEASE_LOST', 'RUN_ABORTED', 'CONNECTION_CLOSED']);

  it('write each session in one line: what a reply promised is there, in order, once', async () => {
    const end = performance.now() + shareMs;
    const memory = new MemorySessionStore();
    const promised = new Map(sessionIds.map((id) => [id, [] as string[]]));
    const stateSchema = z.object({ log: z.array(z.string()).default([]) });
    const agents = Array.from({ length: 4 }, () =>
      testAgent(
        { store: new UnsteadyStore(memory), stateSchema, inputSchema: z.string() },
        async ({ session, turns }) => {
          await turns(async (input) => {
            await session.updateState((draft) => {
              draft.log.push(input);
            });
            promised.get(session.id)?.push(input);
          });
          return { output: null };
        },
      ),
    );
    let number = 0;
    const caller = async (seed: number) => {
      for (let dice = seed; performance.now() < end; dice = (dice * 1_103_515_245 + 12_345) % 2 ** 31) {
        const sessionId = sessionIds[dice % 3] ?? 'a';
        const conn = agents[dice % 4]?.open({ sessionId, onBusySession: policies[(dice >> 4) % 4] ?? 'queue' });
        if (conn === undefined) return;
        const outcomes = Array.from({ length: dice % 5 }, () => conn.send(`input ${number++}`).catch(onlyExpected));
        if (dice % 13 === 0) conn.abort();
        else conn.close();
        await conn.output().catch(onlyExpected);
        await Promise.all(outcomes);
        if (dice % 7 === 0) await quiet();
      }
    };
    await Promise.all(Array.from({ length: 24 }, (_, seed) => caller(seed * 7_919 + 1)));
    for (const [id, kept] of promised) {
      const stored = await agents[0]?.sessions.get(id);
      expect(kept.length).toBeGreaterThan(10);
      expect(new Set(kept).size).toBe(kept.length);
      // What a takeover cut off may have been saved without having been promised, never the other way round.
      const log = stored?.state.log ?? [];
      expect(log.filter((input) => kept.includes(input))).toEqual(kept);
      expect(new Set(log).size).toBe(log.length);
      expect(stored?.version).toBe(log.length + 1);
    }
  });

  function onlyExpected(error: unknown): void {
    expect(isAgentFlowError(error) ? error.code : error).toSatisfy((code: string) => expected.has(code));
  }
});

describe('one run that goes on and on', () => {
  it('answers a thousand senders at a time, is watched all along, and does not grow', async () => {
    const end = performance.now() + shareMs;
    const agent = testAgent(
      { inputSchema: z.number(), streamSchema: z.number(), replayChunks: 2_000 },
      async ({ turns, responder }) => {
        await turns(async (input) => {
          await responder.send(input);
          await responder.send(-input);
        });
        return { output: null };
      },
    );
    const conn = agent.open({ sessionId: 's' });
    const read = collect(conn.receiveAll()).then((chunks) => chunks.length);
    let watched = 0;
    const watching = (async () => {
      for await (const event of agent.watch('s')) if (event.type === 'chunk') watched += 1;
    })();
    let sent = 0;
    let settled = 0;
    const heap: number[] = [];
    while (performance.now() < end) {
      const receipts = await Promise.all(Array.from({ length: 1_000 }, () => conn.send(++sent)));
      settled += new Set(receipts.map(({ turn }) => turn)).size;
      if (sent % 20_000 === 0) heap.push(await heapInUse());
    }
    conn.close();
    await conn.output();
    await watching;
    expect([await read, watched, settled]).toEqual([sent * 2, sent * 2, sent]);
    // The reader above keeps what it reads: eight bytes a number and no more. One look says nothing of growth.
    const [, first = 0, ...later] = heap;
    const last = later.at(-1) ?? first;
    expect(last - first).toBeLessThan(20_000_000 + sent * 2 * 24);
  });
});
