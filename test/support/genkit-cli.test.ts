import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { built } from './built.js';
import { flowRun, type GenkitCli, startGenkitCli } from './genkit-cli.js';
import { isRunning, poll } from './genkit-sandbox.js';
import { Program } from './program.js';

const app = built('test/support/fixtures/bidi-flow-app.ts');
// Whoever starts a CLI may have to wait for other test files that are starting one.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const command = ['node', app];

describe('the real genkit-cli against a bidi flow', () => {
  let cli: GenkitCli;
  beforeAll(async () => {
    cli = await startGenkitCli({ command, waitFor: '/flow/echo' });
  });
  afterAll(() => cli?.stop());

  it('lists the flow with its schemas', async () => {
    const { '/flow/echo': flow } = await cli.listActions();
    expect(flow).toMatchObject({
      name: 'echo',
      metadata: { bidi: true },
      inputSchema: { properties: { text: { type: 'string' } } },
      outputSchema: { properties: { turns: { type: 'number' }, last: { type: 'string' } } },
    });
  });

  it('runs it with one input and no init', async () => {
    const { result, traceId } = await cli.runAction('/flow/echo', { text: 'hello' });
    expect(result).toEqual({ turns: 1, last: 'echo hello' });
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  it('tells what was wrong with an input', async () => {
    await expect(cli.runAction('/flow/echo', { text: 7 })).rejects.toMatchObject({
      name: 'GenkitCliError',
      code: 3,
      message: expect.stringContaining('must be string'),
    });
  });

  it('holds a two-turn conversation and reads its trace back, one span a turn', async () => {
    const run = await cli.streamBidi('/flow/echo', { greeting: 'yo' });
    await run.send({ text: 'one' });
    expect(await run.next()).toBe('yo one');
    await run.send({ text: 'two' });
    await run.end();
    const rest: unknown[] = [];
    for await (const chunk of run.chunks) rest.push(chunk);
    expect(rest).toEqual(['yo two']);
    expect(await run.result).toEqual({ turns: 2, last: 'yo two' });
    await expect(run.send({ text: 'late' })).rejects.toThrow('404');

    const { root } = await cli.trace(run.traceId, (trace) => trace.root.children.length === 2);
    expect(root).toMatchObject({ name: 'echo', attributes: { 'genkit:key': '/flow/echo' } });
    expect(root.children.map((span) => [span.name, span.attributes['genkit:output']])).toEqual([
      ['turn-1', '"yo one"'],
      ['turn-2', '"yo two"'],
    ]);
  });

  it('cancels a run', async () => {
    const run = await cli.streamBidi('/flow/echo', { greeting: 'yo' });
    await run.send({ text: 'one' });
    expect(await run.next()).toBe('yo one');
    await cli.cancel(run.traceId);
    await expect(run.result).rejects.toMatchObject({ code: 1, message: 'Action was cancelled' });
    const { root } = await cli.trace(run.traceId);
    expect(root.attributes['genkit:state']).toBe('error');
  });

  it('leaves no process behind', async () => {
    const pid = await cli.appPid();
    if (pid === undefined) throw new Error('no app');
    await cli.stop();
    expect(isRunning(pid)).toBe(false);
    await expect(fetch(cli.url)).rejects.toThrow();
  });
});

it('leaves no process behind when the test process is killed', async () => {
  const harness = pathToFileURL(built('test/support/genkit-cli.ts'));
  const script = `
    import { startGenkitCli } from ${JSON.stringify(harness.href)};
    const cli = await startGenkitCli({ command: ${JSON.stringify(command)} });
    await cli.streamBidi('/flow/echo', { greeting: 'held open' });
    console.log('The app is', await cli.appPid(), 'now');`;
  await using harnessed = new Program(process.execPath, ['--input-type=module', '-e', script]);
  await harnessed.until(' now\n');
  const pid = Number(/The app is (\d+) now/.exec(harnessed.output)?.[1]);
  expect(isRunning(pid)).toBe(true);
  harnessed.signal('SIGKILL');
  await poll('the app is gone', 60_000, async () => !isRunning(pid) || undefined);
});

describe('genkit flow:run', () => {
  it('prints chunks and result of one input', async () => {
    const printed = await flowRun('echo', '{"text":"hello"}', { command });
    expect(printed).toContain('"echo hello"\nResult:\n{\n  "turns": 1,\n  "last": "echo hello"\n}');
  });

  it('says why an app cannot start', async () => {
    await expect(startGenkitCli({ command: ['node', '-e', 'process.exit(3)'] })).rejects.toThrow('ended early');
  });
});
