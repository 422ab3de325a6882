import 'genkit/beta'; // must come before genkit/tracing, or telemetry is not initialised
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { genkit, z } from 'genkit';
import { enableTelemetry } from 'genkit/tracing';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { defineAgent } from '../../src/index.js';

const exporter = new InMemorySpanExporter();
const ai = genkit({});
const secret = 'xyzzy';

ai.defineModel({ name: 'parrot' }, async (request) => ({
  message: { role: 'model', content: [{ text: `parrot says ${request.messages.length}` }] },
  finishReason: 'stop',
}));

beforeAll(async () => {
  await enableTelemetry({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
});

beforeEach(() => exporter.reset());

const config = {
  inputSchema: z.string(),
  streamSchema: z.string(),
  stateSchema: z.object({ said: z.array(z.string()).default([]) }),
};

const withTurns = defineAgent(ai, { name: 'withTurns', ...config }, async ({ turns, responder, session }) => {
  await turns(
    async (input) => {
      if (input === 'fail') throw new Error('as asked');
      await responder.send((await ai.generate({ model: 'parrot', prompt: 'hello' })).text);
      await session.updateState((draft) => {
        draft.said.push(secret);
      });
    },
    { onError: () => {} },
  );
  return { output: null };
});

const withLoop = defineAgent(ai, { name: 'withLoop', ...config }, async ({ inputStream, responder }) => {
  for await (const _input of inputStream) {
    const [first, second] = await Promise.all([
      ai.generate({ model: 'parrot', prompt: 'a' }),
      ai.run('lookup', async () => (await ai.generate({ model: 'parrot', prompt: 'b' })).text),
    ]);
    await responder.send(first.text + second);
    await responder.endTurn();
  }
  await ai.run('farewell', async () => 'bye');
  return { output: null };
});

function named(name: string): ReadableSpan {
  const found = exporter.getFinishedSpans().find((span) => span.name === name);
  if (found === undefined) throw new Error(`no span ${name}`);
  return found;
}

function ancestors(span: ReadableSpan): string[] {
  const parent = exporter.getFinishedSpans().find((other) => other.spanContext().spanId === span.parentSpanId);
  return parent === undefined ? [] : [parent.name, ...ancestors(parent)];
}

const modelSpans = () =>
  exporter.getFinishedSpans().filter((span) => span.attributes['genkit:metadata:subtype'] === 'model');

describe('spans', () => {
  test('one for the run, one for each turn, the session id on all', async () => {
    const { sessionId } = await withTurns.run(['one', 'two']);
    const run = named('withTurns');
    expect(run.attributes).toMatchObject({
      'genkit:type': 'action',
      'genkit:metadata:subtype': 'flow',
      'genkit:key': '/flow/withTurns',
      'genkit:state': 'success',
      'genkit:metadata:agent:sessionId': sessionId,
      'gen_ai.conversation.id': sessionId,
    });
    for (const name of ['turn-1', 'turn-2']) {
      const turn = named(name);
      expect(ancestors(turn)).toEqual(['withTurns']);
      expect(turn.attributes).toMatchObject({
        'genkit:type': 'flowStep',
        'genkit:name': name,
        'genkit:state': 'success',
        'genkit:metadata:agent:sessionId': sessionId,
        'gen_ai.conversation.id': sessionId,
      });
    }
    expect(exporter.getFinishedSpans().filter(({ name }) => name.startsWith('turn-'))).toHaveLength(2);
  });

  test.each([
    ['under turns()', () => withTurns.run(['one', 'two']), ['turn-1', 'turn-2']],
    ['in a loop of the handler’s own', () => withLoop.run(['one', 'two']), ['turn-1', 'turn-1', 'turn-2', 'turn-2']],
  ])('model calls hang below their turn, %s', async (_, run, expected) => {
    await run();
    expect(
      modelSpans()
        .map((span) => ancestors(span).find((name) => name.startsWith('turn-')))
        .sort(),
    ).toEqual(expected);
  });

  test('what is done between turns belongs to the run', async () => {
    await withLoop.run('one');
    expect(ancestors(named('farewell'))).toEqual(['withLoop']);
  });

  test('concurrent runs do not mix', async () => {
    await Promise.all(Array.from({ length: 20 }, () => withLoop.run(['one', 'two'])));
    const runs = exporter.getFinishedSpans().filter(({ name }) => name === 'withLoop');
    expect(runs).toHaveLength(20);
    for (const run of runs) {
      const { traceId } = run.spanContext();
      const inTrace = exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
      expect(inTrace.filter(({ name }) => name.startsWith('turn-')).map(({ name }) => name)).toEqual([
        'turn-1',
        'turn-2',
      ]);
      const ids = new Set(inTrace.flatMap((span) => span.attributes['gen_ai.conversation.id'] ?? []));
      expect(ids.size).toBe(1);
    }
  });

  test('a turn that failed says so; the ones beside it do not', async () => {
    await withTurns.run(['one', 'fail', 'three']);
    // `onError` answered it, so only the turn's own end can tell; without onError the state is error.
    expect(named('turn-3').attributes['genkit:state']).toBe('success');
    const strict = defineAgent(ai, { name: 'strict', ...config }, async ({ turns }) => {
      await turns(async () => {
        throw new Error('as asked');
      });
      return { output: null };
    });
    exporter.reset();
    await expect(strict.run('x')).rejects.toThrow('as asked');
    expect(named('turn-1').attributes['genkit:state']).toBe('error');
    expect(named('strict').attributes['genkit:state']).toBe('error');
  });

  test('an aborted run and its open turn both end', async () => {
    const stuck = defineAgent(ai, { name: 'stuck', ...config, abortGraceMs: 0 }, async ({ turns }) => {
      await turns(() => new Promise(() => {}));
      return { output: null };
    });
    const connection = stuck.streamBidi();
    await connection.send('x');
    connection.abort('enough');
    await expect(connection.output()).rejects.toMatchObject({ code: 'RUN_ABORTED' });
    await expect
      .poll(() =>
        exporter
          .getFinishedSpans()
          .map(({ name }) => name)
          .sort(),
      )
      .toEqual(['stuck', 'turn-1']);
    expect(named('turn-1').attributes['genkit:state']).toBe('error');
  });

  test('neither input, chunks nor state of an in-process run are written on spans of ours', async () => {
    const connection = withTurns.streamBidi({ init: { said: [secret] } });
    connection.send(secret);
    connection.close();
    await connection.output();
    const ours = exporter.getFinishedSpans().filter(({ name }) => name === 'withTurns' || name.startsWith('turn-'));
    expect(ours).toHaveLength(2);
    expect(JSON.stringify(ours.map(({ attributes }) => attributes))).not.toContain(secret);
  });

  test('a run inside another flow hangs below it', async () => {
    const outer = ai.defineFlow('outer', async () => (await withTurns.run('one')).sessionId);
    await outer();
    expect(ancestors(named('turn-1'))).toEqual(['withTurns', 'outer']);
  });
});
