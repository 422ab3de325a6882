/** Four types are inferred from the schemas; nobody writes a type argument, and wrong uses do not compile. */
import { genkit, MessageSchema, z } from 'genkit';
import {
  type Agent,
  type AgentOutput,
  type AgentTypes,
  type Artifact,
  type Connection,
  defineAgent,
  type SendReceipt,
} from 'genkitx-agent';
import { describe, expectTypeOf, test } from 'vitest';

const ai = genkit({});

const tally = defineAgent(
  ai,
  {
    name: 'tally',
    inputSchema: z.object({ add: z.number().default(1) }),
    streamSchema: z.object({ total: z.number() }),
    outputSchema: z.enum(['even', 'odd']),
    stateSchema: z.object({ total: z.number().default(0), note: z.string().optional() }),
  },
  async ({ session, inputStream, responder, signal, context, turns }) => {
    expectTypeOf(session.state).toEqualTypeOf<Readonly<{ total: number; note?: string | undefined }>>();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    expectTypeOf(context).toEqualTypeOf<Record<string, unknown>>();
    for await (const input of inputStream) {
      expectTypeOf(input).toEqualTypeOf<{ add: number }>();
      await session.updateState((draft) => {
        draft.total += input.add;
      });
      await session.updateState({ total: 1 });
      await responder.send({ total: session.state.total });
      // @ts-expect-error a chunk of the wrong shape
      await responder.send('total');
      // @ts-expect-error a state of the wrong shape
      await session.updateState({ total: 'one' });
      // @ts-expect-error the state cannot be assigned to
      session.state.total = 2;
    }
    await turns(
      async (input, turn) => {
        expectTypeOf(input).toEqualTypeOf<{ add: number }>();
        expectTypeOf(turn.signal).toEqualTypeOf<AbortSignal>();
      },
      { onInterrupt: ({ chunks }) => void expectTypeOf(chunks).toEqualTypeOf<readonly { total: number }[]>() },
    );
    return { output: 'even' };
  },
);

describe('defineAgent', () => {
  test('gives the caller every type', () => {
    const connection = tally.streamBidi({ init: { total: 3 } });
    expectTypeOf(connection).toExtend<Connection<{ add?: number | undefined }, { total: number }, unknown>>();
    expectTypeOf(connection.send).returns.toEqualTypeOf<Promise<SendReceipt>>();
    expectTypeOf(connection.receive()).toEqualTypeOf<AsyncIterableIterator<{ total: number }>>();
    expectTypeOf(connection.output()).toEqualTypeOf<
      Promise<AgentOutput<{ total: number; note?: string | undefined }, 'even' | 'odd'>>
    >();
    expectTypeOf<AgentOutput<unknown, unknown>['artifacts']>().toEqualTypeOf<readonly Artifact[] | undefined>();
  });

  test('lets a client import the types alone', () => {
    type Types = AgentTypes<typeof tally>;
    expectTypeOf<Types['state']>().toEqualTypeOf<{ total: number; note?: string | undefined }>();
    expectTypeOf<Types['input']>().toEqualTypeOf<{ add: number }>();
    expectTypeOf<Types['sent']>().toEqualTypeOf<{ add?: number | undefined }>();
    expectTypeOf<Types['output']>().toEqualTypeOf<'even' | 'odd'>();
    expectTypeOf<Types['stream']>().toEqualTypeOf<{ total: number }>();
    expectTypeOf(tally).toExtend<
      Agent<Types['state'], Types['input'], Types['output'], Types['stream'], Types['init'], Types['sent']>
    >();
  });

  test('refuses wrong uses by the caller', () => {
    const connection = tally.streamBidi();
    // @ts-expect-error an input of the wrong shape
    connection.send('one');
    // @ts-expect-error an initial state of the wrong shape
    tally.streamBidi({ init: { total: 'one' } });
    // @ts-expect-error an unknown option
    tally.streamBidi({ sessionID: 'x' });
    // @ts-expect-error an unknown policy
    connection.send({}, { policy: 'drop' });
    // @ts-expect-error an input of the wrong shape
    tally.run({ add: 'one' });
  });

  test('refuses wrong uses by the author', () => {
    // @ts-expect-error an output of the wrong type
    defineAgent(ai, { name: 'a', outputSchema: z.string() }, async () => ({ output: 5 }));
    // @ts-expect-error no output
    defineAgent(ai, { name: 'b', outputSchema: z.string() }, async () => ({}));
    // @ts-expect-error an initial state of the wrong shape
    defineAgent(ai, { name: 'c', stateSchema: z.object({ n: z.number() }), initialState: { n: 'x' } }, async () => ({
      output: 1,
    }));
    // @ts-expect-error a name is needed
    defineAgent(ai, { outputSchema: z.string() }, async () => ({ output: '' }));
  });

  test('hands Genkit messages to and fro', () => {
    defineAgent(
      ai,
      { name: 'chat', stateSchema: z.object({ messages: z.array(MessageSchema).default([]) }) },
      async ({ session }) => {
        const response = await ai.generate({ messages: session.state.messages, prompt: 'hi' });
        await session.updateState({ messages: response.messages });
        await session.updateState((draft) => void draft.messages.push({ role: 'user', content: [{ text: 'hi' }] }));
        return { output: response.text, artifacts: [{ name: 'answer', parts: response.message?.content ?? [] }] };
      },
    );
  });

  test('accepts anything where there is no schema', () => {
    const loose = defineAgent(ai, { name: 'loose' }, async () => ({ output: 1 }));
    expectTypeOf(loose.streamBidi().send).parameter(0).toBeUnknown();
    expectTypeOf<AgentTypes<typeof loose>['state']>().toEqualTypeOf<Record<string, unknown>>();
  });
});
