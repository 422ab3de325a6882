/** Backends and their agents fit together without a type argument, and wrong uses do not compile. */
import { genkit, z } from 'genkit';
import {
  type AgentTypes,
  agentBackend,
  type Backend,
  type BackendEvent,
  BackendInputSchema,
  BackendStateSchema,
  backendHandler,
  defineAgent,
  type Message,
  openBackendSession,
  type Provider,
  type Response,
  runPrompt,
} from 'genkitx-agent';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { providerBackend, runSession, type SessionResult } from 'genkitx-agent/backends/tool-loop';
import { scriptedProvider } from 'genkitx-agent/providers/scripted';
import { describe, expectTypeOf, test } from 'vitest';

const ai = genkit({});
const backend = scriptedBackend();

describe('a backend', () => {
  test('of any session is a backend', () => {
    expectTypeOf(backend).toExtend<Backend>();
    const backends: Backend[] = [
      backend,
      providerBackend(scriptedProvider({ mode: 'streaming' }), { handler: () => '' }),
    ];
    expectTypeOf(backends).toExtend<readonly Backend[]>();
  });

  test('is told apart by its events', () => {
    const textOf = (event: BackendEvent): string => {
      if (event.type === 'text') return event.text;
      if (event.type === 'error') return event.error.kind;
      // @ts-expect-error only some events have a text
      return event.text;
    };
    expectTypeOf(textOf).returns.toBeString();
  });

  test('keeps the type of its session', async () => {
    const outcome = await runPrompt(backend, await backend.startSession(), 'Hi');
    expectTypeOf(outcome.session.id).toBeString();
    expectTypeOf(outcome.response).toEqualTypeOf<Response>();
    // @ts-expect-error a session of something else
    runPrompt(backend, 5, 'Hi');
    const session = await openBackendSession(backend);
    expectTypeOf(session.lastResult).toEqualTypeOf<Response | undefined>();
  });
});

describe('an agent on a backend', () => {
  test('takes text, messages or both', () => {
    const state = { stateSchema: BackendStateSchema, streamSchema: z.string(), outputSchema: z.string() };
    const both = defineAgent(ai, { name: 'a', inputSchema: BackendInputSchema, ...state }, backendHandler(backend));
    const text = defineAgent(ai, { name: 'b', inputSchema: z.string(), ...state }, backendHandler(backend));
    expectTypeOf<AgentTypes<typeof text>['sent']>().toBeString();
    expectTypeOf<AgentTypes<typeof both>['stream']>().toBeString();
    expectTypeOf<AgentTypes<typeof text>['state']['backendSessionId']>().toEqualTypeOf<string | undefined>();
    both.streamBidi().send({ role: 'user', content: [{ text: 'Hi' }] });
    // @ts-expect-error a number is no prompt
    both.streamBidi().send(5);
    const numbers = { ...state, name: 'c', inputSchema: z.number() };
    // @ts-expect-error nor can an agent of numbers be answered by a backend
    defineAgent(ai, numbers, backendHandler(backend));
    const forgetful = { ...state, name: 'd', inputSchema: z.string(), stateSchema: z.object({}) };
    // @ts-expect-error a state without messages remembers nothing
    defineAgent(ai, forgetful, backendHandler(backend));
  });

  test('may remember more, and tell more', () => {
    const more = BackendStateSchema.extend({ mood: z.string().default('fine') });
    const config = { name: 'e', inputSchema: z.string(), stateSchema: more };
    const typed = defineAgent(
      ai,
      { ...config, streamSchema: z.object({ word: z.string() }) },
      backendHandler(backend, { toChunk: (event) => (event.type === 'text' ? { word: event.text } : undefined) }),
    );
    expectTypeOf<AgentTypes<typeof typed>['stream']>().toEqualTypeOf<{ word: string }>();
    expectTypeOf<AgentTypes<typeof typed>['state']['mood']>().toBeString();
    defineAgent(
      ai,
      { ...config, name: 'f', streamSchema: z.object({ word: z.string() }) },
      // @ts-expect-error a chunk of another shape
      backendHandler(backend, { toChunk: () => ({ letter: 'x' }) }),
    );
  });

  test('is a backend again', () => {
    const sum = defineAgent(
      ai,
      { name: 'g', inputSchema: z.object({ add: z.number() }), streamSchema: z.object({ total: z.number() }) },
      async () => ({ output: 1 }),
    );
    const typed = agentBackend(sum, {
      toInput: (prompt) => ({ add: Number(prompt) }),
      toText: ({ total }) => `${total}`,
    });
    expectTypeOf(typed).toExtend<Backend>();
    // @ts-expect-error an input of another shape
    agentBackend(sum, { toInput: (prompt) => ({ sub: Number(prompt) }) });
  });
});

describe('the loop', () => {
  test('hands the handler the context it was given', () => {
    const provider = scriptedProvider({ mode: 'streaming' });
    expectTypeOf(provider).toExtend<Provider>();
    const result = runSession(provider, {
      context: { user: 'ada' },
      handler: (name, input, context, info) => {
        expectTypeOf(name).toBeString();
        expectTypeOf(input).toBeUnknown();
        expectTypeOf(context).toEqualTypeOf<{ user: string }>();
        expectTypeOf(info.signal).toEqualTypeOf<AbortSignal>();
        return context.user;
      },
    });
    expectTypeOf(result).toEqualTypeOf<Promise<SessionResult>>();
    // @ts-expect-error without a handler there is no loop
    runSession(provider, { prompt: 'Hi' });
    // @ts-expect-error no such limit
    runSession(provider, { handler: () => '', maxTurn: 5 });
  });

  test('takes a conversation as Genkit writes it', () => {
    expectTypeOf<{ role: 'user'; content: { text: string }[] }>().toExtend<Message>();
  });
});
