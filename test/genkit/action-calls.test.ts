import { genkit } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { streamOf } from '../../src/genkit/action-calls.js';
import { Deferred } from '../../src/internal/deferred.js';
import { defineTalker, echoAgent, say, textOf } from '../support/chat.js';

type Run = Parameters<typeof streamOf>[0];

/** An action that sends these and then does the rest. */
function action(chunks: readonly unknown[], rest: () => Promise<unknown>): ReturnType<typeof streamOf> {
  const run: Run = async (_input, options) => {
    for (const chunk of chunks) options?.onChunk?.(chunk);
    return { result: await rest(), telemetry: { traceId: '', spanId: '' } };
  };
  return streamOf(run);
}

async function collect(chunks: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

describe('the stream of an action', () => {
  test('has every chunk, however late it is read', async () => {
    const many = Array.from({ length: 100_000 }, (_, index) => index % 3);
    const { stream, output } = action(many, async () => 'done')();
    expect(await output).toBe('done');
    expect(await collect(stream)).toEqual(many);
  });

  test('ends with the error of the action, after the chunks; nobody need wait for the output', async () => {
    const { stream } = action([1, 2], () => Promise.reject(new Error('at the end')))();
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const chunk of stream) seen.push(chunk);
    })();
    await expect(reading).rejects.toThrow('at the end');
    expect(seen).toEqual([1, 2]);
  });

  test('can be left while the action works', async () => {
    const left = new Deferred<void>();
    const { stream, output } = action([1, 2], async () => left.promise)();
    for await (const _ of stream) break;
    left.resolve();
    await expect(output).resolves.toBeUndefined();
  });

  test('of a chat is the same, and a wrong input is a rejection', async () => {
    const { chatAgent } = echoAgent();
    const run = chatAgent.streamBidi();
    run.send(say('one'));
    for await (const chunk of run.stream) if (chunk.modelChunk) break;
    expect(await run.output).toMatchObject({ finishReason: 'stop', state: { custom: { count: 1 } } });
    const { stream, output } = chatAgent.stream(say('two'));
    expect(textOf((await collect(stream)) as Parameters<typeof textOf>[0])).toBe('you said two');
    expect((await output).finishReason).toBe('stop');
    await expect(chatAgent.stream({ message: 5 } as never).output).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
  });

  test('has the context of the application, and what its caller adds, where Genkit is asked for it', async () => {
    const ai = genkit({ context: { auth: { uid: 'everybody' } } });
    const seen: unknown[] = [];
    const { flow, chatAgent } = defineTalker(async () => void seen.push(ai.currentContext()), { ai });
    await flow.stream('one').output;
    await flow.stream('two', { context: { trace: 7 } }).output;
    await chatAgent.chat().send('three');
    await ai.run('step', () => flow.stream('four').output);
    const everybody = { auth: { uid: 'everybody' } };
    expect(seen).toEqual([everybody, { ...everybody, trace: 7 }, everybody, everybody]);
  });
});
