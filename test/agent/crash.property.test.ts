/** Processes that die at any call of the store, before it or after it, one after another, until one lives to the end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SendReceipt } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { quiet } from '../support/waiting.js';

const leaseTtlMs = 9_000;

/** Where a process dies: at which of its calls to the store, and whether that call still has its effect. */
interface Death {
  readonly atCall: number;
  readonly isDone: boolean;
}

/** One session's life over many processes. */
class Life {
  readonly clock = new ManualClock();
  readonly memory = new MemorySessionStore({ clock: this.clock });
  readonly receipts: { id: string; receipt: SendReceipt }[] = [];
  /** What each turn was, in the order they were begun, in all processes. */
  readonly turns: { id: string; attempt: number }[] = [];
  readonly finished: string[] = [];

  /** A process that sends all inputs with their ids and answers them, until it is done or dies. True: it is done. */
  async run(ids: readonly string[], death: Death | undefined): Promise<boolean> {
    const store = new UnsteadyStore(this.memory);
    let isDead = false;
    const die = () => {
      if (store.calls.length !== death?.atCall) return;
      isDead = true;
      store.die();
    };
    if (death?.isDone) store.after = die;
    else store.before = die;
    const conn = this.#agent(store).open({ sessionId: 's' });
    void conn.output();
    for (const id of ids) {
      void conn.send(id, { id }).then((receipt) => isDead || this.receipts.push({ id, receipt }));
    }
    conn.close();
    let isDone = false;
    void conn.done.then(({ error }) => {
      expect(error).toBeUndefined();
      isDone = true;
    });
    while (!isDone && !isDead) {
      await quiet();
      this.clock.advance(leaseTtlMs / 10);
    }
    await quiet();
    return isDone;
  }

  #agent(store: UnsteadyStore) {
    const stateSchema = z.object({ log: z.array(z.string()).default([]) });
    const config = { inputSchema: z.string(), stateSchema, store, clock: this.clock, leaseTtlMs };
    return testAgent(config, async ({ turns, session, responder }) => {
      await turns(async (id, turn) => {
        this.turns.push({ id, attempt: turn.attempt });
        await responder.send(id);
        // A turn that starts over looks first at what it has already done.
        if (!session.state.log.includes(id)) {
          await session.updateState((draft) => {
            draft.log.push(id);
          });
        }
        await session.saveArtifact({ name: id, parts: [{ text: String(turn.attempt) }] });
      });
      return { output: null };
    });
  }

  state(): Promise<unknown> {
    return this.#agent(new UnsteadyStore(this.memory))
      .sessions.get('s')
      .then((session) => session?.state);
  }
}

const death = fc.record({ atCall: fc.integer({ min: 1, max: 40 }), isDone: fc.boolean() });

describe('processes that die', () => {
  it('one after another: what was accepted is answered, what was answered is not run again', async () => {
    const property = async (inputs: number, deaths: readonly Death[]) => {
      const life = new Life();
      const ids = Array.from({ length: inputs }, (_, index) => `input ${index}`);
      for (const one of deaths) if (await life.run(ids, one)) break;
      expect(await life.run(ids, undefined), 'the last one lives').toBe(true);
      expect(await life.state()).toEqual({ log: ids });
      expect((await life.memory.load('s'))?.pending).toEqual([]);
      for (const id of ids) {
        const attempts = life.turns.filter((turn) => turn.id === id).map(({ attempt }) => attempt);
        expect(attempts, 'each start over is the next attempt').toEqual([...attempts].sort((a, b) => a - b));
        expect(new Set(attempts).size, 'no attempt is made twice').toBe(attempts.length);
        const own = life.receipts.filter((one) => one.id === id && !one.receipt.duplicate);
        expect(own.length, 'accepted at most once').toBeLessThanOrEqual(1);
      }
      const before = life.turns.length;
      expect(await life.run(ids, undefined)).toBe(true);
      expect(life.turns.length, 'nothing is run again').toBe(before);
    };
    const lives = fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(death, { maxLength: 6 }), property);
    await fc.assert(lives, { numRuns: Number(process.env.RUNS ?? 60) });
  });

  it('at every single call of the store, before and after it', async () => {
    for (let atCall = 1; atCall < 60; atCall++) {
      for (const isDone of [false, true]) {
        const life = new Life();
        const isOver = await life.run(['a', 'b'], { atCall, isDone });
        if (!isOver) await life.run(['a', 'b'], undefined);
        expect(await life.state(), `died at call ${atCall}`).toEqual({ log: ['a', 'b'] });
        if (isOver) return;
      }
    }
    expect.fail('the process never came to its end');
  });
});
