/** A store that stops answering a run's writes, while it goes on answering everything else. */
import { expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testAgent } from '../support/agents.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { errorOf, quiet } from '../support/waiting.js';

it.each(['save', 'accept'])('a run whose %s is never answered does not keep its session for ever', async (stuck) => {
  const clock = new ManualClock();
  const memory = new MemorySessionStore({ clock });
  const store = new UnsteadyStore(memory);
  const stateSchema = z.object({ turns: z.number().default(0) });
  const agent = testAgent(
    { store, clock, leaseTtlMs: 900, inputSchema: z.string(), stateSchema },
    async ({ turns, session }) => {
      await turns(() =>
        session.updateState((draft) => {
          draft.turns += 1;
        }),
      );
      return { output: null };
    },
  );
  const first = agent.open({ sessionId: 's' });
  await quiet();
  store.before = (call) => (call === stuck ? new Promise(() => {}) : undefined);
  first.send('never answered', { id: 'input' }).catch(() => {});
  await quiet();
  first.abort('enough');
  const second = agent.open({ sessionId: 's' });
  for (let passed = 0; passed < 4_000; passed += 100) {
    clock.advance(100);
    await quiet();
  }
  store.before = () => {};
  await second.send('answered');
  second.close();
  expect((await second.output()).state).toEqual({ turns: 1 });
  expect(await errorOf(first.output())).toMatchObject({ code: 'RUN_ABORTED' });
});
