/** Updates that nobody waits for, on a store that fails now and then, against a model that does one after the other. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { AgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession } from '../support/sessions.js';
import { UnsteadyStore } from '../support/unsteady-store.js';
import { quiet } from '../support/waiting.js';

const State = z.object({ n: z.number().max(90), list: z.array(z.string()), byKey: z.record(z.number()) });
type State = z.infer<typeof State>;

type Act =
  | { readonly do: 'add' | 'push' | 'cut'; readonly by: number }
  | { readonly do: 'replace'; readonly by: number; readonly thenSpoil: boolean }
  | { readonly do: 'artifact'; readonly by: number }
  | { readonly do: 'fail' }
  | { readonly do: 'quiet' };

const by = fc.nat(40);
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ do: fc.constantFrom('add' as const, 'push' as const, 'cut' as const), by }),
  fc.record({ do: fc.constant('replace' as const), by, thenSpoil: fc.boolean() }),
  fc.record({ do: fc.constant('artifact' as const), by }),
  fc.constantFrom<Act>({ do: 'fail' }, { do: 'quiet' }),
);

/** The same change to a draft and to the model. */
function change(state: State, one: Extract<Act, { do: 'add' | 'push' | 'cut' }>): void {
  if (one.do === 'add') state.n += one.by;
  else if (one.do === 'push') state.list.push(String(one.by));
  else state.list.splice(0, one.by % 3);
  state.byKey[`k${one.by % 5}`] = state.n;
}

describe('updates nobody waits for', () => {
  it('are made in order, all or nothing; what the session says is what the store has', async () => {
    const property = async (acts: readonly Act[]) => {
      const memory = new MemorySessionStore();
      const store = new UnsteadyStore(memory);
      const init: State = { n: 0, list: [], byKey: {} };
      const { session } = await openTestSession<State>({ schema: State, init, store });
      let failures = 0;
      store.before = async (call) => {
        if (call !== 'save') return;
        await quiet();
        if (failures === 0) return;
        failures -= 1;
        throw new AgentFlowError('STORE_FAILED', 'now and then');
      };
      const results: Promise<boolean>[] = [];
      const plans: ((state: State) => unknown)[] = [];
      const artifacts: number[] = [];
      const note = (work: Promise<void>, plan: (state: State) => unknown) => {
        results.push(
          work.then(
            () => true,
            () => false,
          ),
        );
        plans.push(plan);
      };
      for (const one of acts) {
        if (one.do === 'fail') failures += 1;
        else if (one.do === 'quiet') await quiet();
        else if (one.do === 'artifact') {
          const artifact = { name: `a${one.by % 3}`, parts: [{ text: String(one.by) }] };
          note(session.saveArtifact(artifact), () => artifacts.push(one.by));
        } else if (one.do === 'replace') {
          const next: State = { n: one.by * 3, list: ['whole'], byKey: {} };
          const kept = structuredClone(next);
          note(session.updateState(next), (state) => Object.assign(state, kept));
          if (one.thenSpoil) next.list.push('spoilt');
        } else {
          note(
            session.updateState((draft) => change(draft, one)),
            (state) => change(state, one),
          );
        }
      }
      const made = await Promise.all(results);
      const model = structuredClone(init);
      plans.forEach((plan, index) => {
        if (made[index]) plan(model);
      });
      store.before = () => {};
      expect(isDeepStrictEqual(session.state, model), JSON.stringify([session.state, model])).toBe(true);
      expect(session.state.n).toBeLessThanOrEqual(90);
      expect(session.artifacts.flatMap(({ name }) => session.artifactVersions(name))).toHaveLength(artifacts.length);
      expect((await memory.load('a session'))?.version).toBe(session.version);
      await session.release();
      const again = await openTestSession<State>({ schema: State, store: memory });
      expect(isDeepStrictEqual(again.session.state, session.state)).toBe(true);
      expect(again.session.artifacts).toEqual(session.artifacts);
    };
    const acts = fc.array(act, { maxLength: 25, size: 'max' });
    await fc.assert(fc.asyncProperty(acts, property), { numRuns: Number(process.env.RUNS ?? 100) });
  });
});
