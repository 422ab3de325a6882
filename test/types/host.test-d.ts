/** A behaviour's state is inferred from its `init`; nobody writes a type argument. */

import { genkit, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';
import {
  type BudgetStatus,
  createAgentHost,
  defineBehaviour,
  type EndReason,
  halt,
  noreply,
  proceed,
  prompt,
} from 'genkitx-agent/host';
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

  test('events are typed where handleEvent says so, and decisions are checked', () => {
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      // @ts-expect-error a response decides
      handleResponse: (_ref, _response, state) => state,
    });
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      handleResponse: (_ref, _response, state) => noreply(state),
      // @ts-expect-error an error decides, and does not answer a state
      handleError: (_ref, _error, state) => state,
    });
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      handleResponse: (_ref, _response, state) => noreply(state),
      // @ts-expect-error a stream event answers the next state
      handleStreamEvent: (_event, state) => noreply(state),
    });
    defineBehaviour({
      init: () => ({ state: { count: 0 } }),
      handleResponse: (_ref, _response, state) => noreply(state),
      // @ts-expect-error postTurn answers the next state, and cannot halt
      postTurn: (_outcome, _ref, state) => halt(state),
    });
    // @ts-expect-error init is required
    defineBehaviour({ handleResponse: (_ref, _response, state: number) => noreply(state) });
    // @ts-expect-error handleResponse is required
    defineBehaviour({ init: () => ({ state: 0 }) });
  });
});

describe('a host', () => {
  test('every call says what it answers', () => {
    expectTypeOf(host.tell('a', 'x')).resolves.toEqualTypeOf<string>();
    expectTypeOf(host.notify('a', { any: 1 })).resolves.toEqualTypeOf<void>();
    expectTypeOf(host.notifyAck('a', 1)).resolves.toEqualTypeOf<'handled' | 'retained'>();
    expectTypeOf(host.interrupt('a')).resolves.toEqualTypeOf<boolean>();
    expectTypeOf(host.whereis('a')).resolves.toEqualTypeOf<
      { readonly name: string; readonly id: string } | undefined
    >();
    expectTypeOf(host.totalCost()).resolves.toEqualTypeOf<number>();
    expectTypeOf(host.budget('a')).resolves.toEqualTypeOf<BudgetStatus>();
    expectTypeOf(host.currentName()).toEqualTypeOf<string | undefined>();
  });

  test('what became of a tell is told apart by its status', async () => {
    const polled = await host.poll('a', 'r');
    if (polled.status === 'completed') expectTypeOf(polled.response.text).toEqualTypeOf<string>();
    // @ts-expect-error only a completed one has a response
    if (polled.status === 'pending') void polled.response;
    if (polled.status === 'failed') expectTypeOf(polled.error.code).toExtend<string>();
  });

  test('events are told apart by their type', () => {
    host.observe((event) => {
      if (event.type === 'mailbox.queued') expectTypeOf(event.depth).toEqualTypeOf<number>();
      if (event.type === 'terminated') expectTypeOf(event.reason).toEqualTypeOf<EndReason>();
      // @ts-expect-error there is no such event
      if (event.type === 'prompt.begin') return;
    });
  });

  test('wrong uses do not compile', () => {
    // @ts-expect-error names are strings
    void host.ask(1, 'x');
    // @ts-expect-error a prompt is text or parts
    void host.ask('a', 1);
    // @ts-expect-error a tell is not waited for
    void host.tell('a', 'x', { timeoutMs: 1 });
    // @ts-expect-error there are two policies
    void host.tell('a', 'x', { onHalt: 'wait' });
    // @ts-expect-error the state is nobody else's to change
    void host.status('a').then((status) => (status.halted = true));
    // @ts-expect-error a host is made by createAgentHost, with options it knows
    createAgentHost({ persistence: true });
    // @ts-expect-error what is brought back is a behaviour or an agent
    void host.restore(() => ({ backend }));
  });
});
