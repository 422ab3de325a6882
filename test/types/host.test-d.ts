/** A behaviour's state is inferred from its `init`; nobody writes a type argument. */

import { genkit, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';
import { createAgentHost, defineBehaviour, halt, noreply, proceed, prompt } from 'genkitx-agent/host';
import { describe, expectTypeOf, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.js';

declare const backend: Backend<{ id: string }>;
const host = createAgentHost();

describe('behaviours', () => {
  test('the state is what init answers', () => {
    const coder = defineBehaviour({
      init: ({ cwd }: { cwd: string }) => ({ state: { cwd, answers: [] as string[] } }),
      handleResponse(_ref, { text }, state) {
        expectTypeOf(state).toEqualTypeOf<{ cwd: string; answers: string[] }>();
        return noreply({ ...state, answers: [...state.answers, text] });
      },
      handleError: (_ref, { code }, state) => (code === 'TURN_TIMEOUT' ? prompt('again', state) : halt(state)),
      handleEvent(event: { kind: 'go' } | { kind: 'stop' }, state) {
        return event.kind === 'go' ? prompt('go', state) : halt(state);
      },
      preTurn: (text, state) => proceed(text, state),
      postTurn: async (_outcome, _ref, state) => state,
    });
    void host.start(coder, { name: 'a', backend, args: { cwd: '/' } });
    // @ts-expect-error init needs its arguments
    void host.start(coder, { name: 'a', backend });
    // @ts-expect-error arguments of the wrong shape
    void host.start(coder, { name: 'a', backend, args: { cwd: 1 } });
    // @ts-expect-error a backend is required
    void host.start(coder, { name: 'a', args: { cwd: '/' } });
  });

  test('a callback that answers another state does not compile', () => {
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      // @ts-expect-error the count is a number
      handleResponse: (_ref, _response, _state) => noreply({ count: 'one' }),
    });
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      handleResponse: (_ref, _response, state) => noreply(state),
      // @ts-expect-error preTurn decides
      preTurn: (_prompt, state) => state,
    });
  });

  test('arguments may be left out where init needs none', () => {
    const plain = defineBehaviour({
      init: () => ({ state: 0 }),
      handleResponse: (_ref, _response, state) => noreply(state + 1),
    });
    void host.start(plain, { name: 'a', backend });
  });

  test('any agent starts, whatever its types', () => {
    const agent = defineAgent(
      genkit({}),
      { name: 'typed', inputSchema: z.object({ add: z.number() }), streamSchema: z.number() },
      async () => ({ output: null }),
    );
    void host.start(agent, { name: 'typed', sessionId: 's' });
    expectTypeOf(host.ask('typed', 'x')).resolves.toHaveProperty('text');
  });
});
