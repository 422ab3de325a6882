/** A CLI's process: hung, deaf, fertile, wordy, broken off. Nothing of it outlives its turn. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { type ClaudeCliOptions, claudeCliBackend } from '../../src/backends/claude-cli.js';
import { codexCliBackend } from '../../src/backends/codex-cli.js';
import { type PromptOutcome, runPrompt } from '../../src/backends/run-prompt.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { built } from '../support/built.js';
import { type CliPlay, ScriptedCli, until } from '../support/scripted-cli.js';
import { collect, quiet } from '../support/waiting.js';

// Each test starts programs: how long that takes is the machine's business.
vi.setConfig({ testTimeout: 180_000 });

/** One turn of the scripted Claude. */
async function turn(
  play: CliPlay,
  options: ClaudeCliOptions = {},
  prompt = 'Hi',
): Promise<PromptOutcome<unknown> & { readonly cli: ScriptedCli }> {
  await using cli = await ScriptedCli.start('claude');
  const { command, commandArguments } = cli;
  const backend = claudeCliBackend({ command, commandArguments, ...options });
  cli.play(play);
  const outcome = await runPrompt(backend, await backend.startSession(), prompt);
  // What was killed takes a moment to be gone.
  await until(() => cli.working() === 0);
  return { ...outcome, cli };
}

/** Begins a turn that hangs, waits until it does, and cancels it; `then` sees what becomes of its group, by the clock of its limits. */
async function whenCancelled(
  play: CliPlay,
  then: (cli: ScriptedCli, clock: ManualClock) => Promise<void>,
  limits: ClaudeCliOptions['limits'] = {},
): Promise<void> {
  await using cli = await ScriptedCli.start('claude');
  const { command, commandArguments } = cli;
  const clock = new ManualClock();
  const backend = claudeCliBackend({ command, commandArguments, limits: { clock, ...limits } });
  cli.play({ text: ['begun'], end: 'hang', ...play });
  const controller = new AbortController();
  const { signal } = controller;
  const events: BackendEvent[] = [];
  const { events: stream } = await backend.prompt(await backend.startSession(), 'Hang', { signal });
  let isOver = false;
  const read = (async () => {
    for await (const event of stream) events.push(event);
    isOver = true;
  })();
  await until(() => events.some(({ type }) => type === 'text') && cli.childrenUp() === (play.children?.length ?? 0));
  controller.abort();
  await then(cli, clock);
  await until(() => {
    clock.advance(20);
    return isOver;
  });
  await read;
  expect(events.at(-1)).toMatchObject({ type: 'error', error: { kind: 'cancelled', retryable: false } });
}

/** What heeds no SIGTERM lives for so long, and not longer. */
const livesFor = (ms: number) => async (cli: ScriptedCli, clock: ManualClock) => {
  clock.advance(ms - 1);
  expect(cli.working()).toBeGreaterThan(0);
  clock.advance(1);
  await until(() => cli.working() === 0);
};

/** What a program has said that ends in the middle of its turn, and the signal it died of. */
async function endOfProgram(how: string, { command, commandArguments }: ScriptedCli) {
  const program = built('test/support/fixtures/ends-mid-turn.ts');
  const argv = [program, how, command, ...commandArguments];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { stdout, signal };
}

describe('a turn that is cancelled', () => {
  it.each<[what: string, play: CliPlay]>([
    ['a CLI that hangs', {}],
    ['a CLI with children', { children: [{}, {}] }],
    ['a child that has left the group and holds the output open', { children: [{ ownGroup: true }] }],
  ])('leaves nothing of %s', async (_, play) => {
    await whenCancelled(play, async (cli) => void (await until(() => cli.working() === 0)));
  });

  it.each<[what: string, play: CliPlay]>([
    ['a CLI that ignores SIGTERM', { stubborn: true }],
    ['a CLI whose children ignore SIGTERM', { children: [{ stubborn: true }, { stubborn: true }] }],
    ['a CLI that ignores SIGTERM, as its children do', { stubborn: true, children: [{ stubborn: true }] }],
  ])('leaves nothing of %s after half a second', async (_, play) => {
    await whenCancelled(play, livesFor(500));
  });

  it('gives the CLI as long to end by itself as it is told', async () => {
    await whenCancelled({ stubborn: true }, livesFor(60), { killAfterMs: 60 });
  });
});

describe('a turn after one that was cancelled', () => {
  it('begins when the process of the other is gone', async () => {
    const processes = () => process.getActiveResourcesInfo().filter((kind) => kind === 'ProcessWrap').length;
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const clock = new ManualClock();
    const backend = claudeCliBackend({
      command,
      commandArguments,
      limits: { clock, idleTimeoutMs: Number.POSITIVE_INFINITY },
    });
    cli.play({ text: ['begun'], end: 'hang', stubborn: true });
    const controller = new AbortController();
    const { signal } = controller;
    const cut = await runPrompt(backend, await backend.startSession(), 'Hang', {
      signal,
      onEvent: ({ type }) => void (type === 'text' && controller.abort()),
    });
    expect([cut.error?.code, cli.working()]).toEqual(['BACKEND_CANCELLED', 1]);

    cli.play({ text: ['after'], lingers: true });
    const before = processes();
    /** How many processes there are when the other turn says something. */
    let working = 0;
    let isOver = false;
    const next = runPrompt(backend, cut.session, 'Go on', {
      onEvent({ type }) {
        if (type === 'text') working = cli.working();
      },
    }).finally(() => {
      isOver = true;
    });
    await quiet();
    expect(processes()).toBe(before);
    // The one is made to end, and then the other, which has all its time to say something.
    await until(() => {
      clock.advance(20);
      return isOver;
    });
    expect(await next).toMatchObject({ response: { text: 'after' }, error: undefined });
    expect(working).toBe(1);
  });
});

describe('a turn that ends', () => {
  it('takes with it what the CLI has left running', async () => {
    const { response, error } = await turn({ text: ['done'], children: [{ stubborn: true }] });
    expect(error).toBeUndefined();
    expect(response.text).toBe('done');
  });

  it('is not held up by a child that has left the group and holds the output open', async () => {
    const { response, error } = await turn({ text: ['done'], children: [{ ownGroup: true }] });
    expect(error).toBeUndefined();
    expect(response.text).toBe('done');
  });

  it('lets go of an output that such a child holds open, so that a program can end', async () => {
    const pipes = () => process.getActiveResourcesInfo().filter((kind) => kind === 'PipeWrap').length;
    const before = pipes();
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const backend = claudeCliBackend({ command, commandArguments });
    cli.play({ text: ['done'], children: [{ ownGroup: true }] });
    await runPrompt(backend, await backend.startSession(), 'Hi');
    await until(() => pipes() <= before);
  });

  it('ends a CLI that does not exit after its result, and keeps the result', async () => {
    const { response, error } = await turn({ text: ['done'], lingers: true }, { limits: { exitGraceMs: 50 } });
    expect(error).toBeUndefined();
    expect(response.text).toBe('done');
  });

  it('ends a CLI that says nothing for too long', async () => {
    const { error } = await turn({ end: 'hang' }, { limits: { idleTimeoutMs: 400 } });
    expect(error).toMatchObject({ kind: 'timeout', retryable: true });
  });

  it.each(['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'])('ends with the program that asked: %s', async (how) => {
    await using cli = await ScriptedCli.start('claude');
    cli.play({ text: ['begun'], end: 'hang', stubborn: true });
    const { stdout, signal } = await endOfProgram(how, cli);
    expect(stdout).toContain('begun');
    expect(signal).toBe(how === 'exit' ? null : how);
    await until(() => cli.working() === 0);
  });

  it('leaves a signal to whoever listens to it', async () => {
    await using cli = await ScriptedCli.start('claude');
    cli.play({ text: ['begun'], end: 'hang' });
    const { stdout, signal } = await endOfProgram('listen', cli);
    expect(stdout).toBe('begun, heard SIGTERM, cancelled');
    expect(signal).toBeNull();
    expect(cli.working()).toBe(0);
  });
});

describe('what a CLI says', () => {
  it.each(['\n', '\r\n'])('is read line by line, whatever ends a line: %j', async (newline) => {
    const raw = ['', '   ', 'no JSON', '[1]', 'null', '"text"', '{"type":"unknown"}', '{"type":'];
    const { response, error } = await turn({ raw, newline, text: ['a\u2028b', 'ü'], bytewise: true });
    expect(error).toBeUndefined();
    expect(response.text).toBe('a\u2028bü');
  });

  it('is passed over when a line is too long, and the rest is read', async () => {
    const raw = [
      JSON.stringify({ type: 'assistant', message: { content: [{ type: 'text', text: 'x'.repeat(5_000) }] } }),
    ];
    const { response, error } = await turn({ raw, text: ['short'] }, { limits: { maxLineLength: 4_000 } });
    expect(error).toBeUndefined();
    expect(response.events.filter(({ type }) => type === 'text')).toEqual([{ type: 'text', text: 'short' }]);
  });

  it('is no answer when the line with the result is cut', async () => {
    const { response, error } = await turn({ text: ['half'], end: 'drop' });
    expect(error).toMatchObject({ kind: 'unknown', retryable: true });
    expect(error).toMatchObject({ failure: { raw: { signal: 'SIGKILL', strangeLines: 1 } } });
    expect(response.text).toBe('half');
  });
});

describe('a CLI that fails', () => {
  it.each<[what: string, play: CliPlay, failure: object]>([
    ['with an exit code', { exit: 3 }, { kind: 'unknown', status: 3, retryable: false }],
    ['as not found by its shell', { exit: 127 }, { kind: 'not_found', status: 127, retryable: false }],
    ['with a success that has no result', { exit: 0 }, { kind: 'protocol', retryable: true }],
  ])('is told apart: %s', async (_, play, failure) => {
    const { error } = await turn({ ...play, stderr: 'one\nthe reason\n' });
    expect(error).toMatchObject({ failure: { provider: 'claude-cli', ...failure } });
  });

  it('has the end of its standard error in the failure, within a bound', async () => {
    const stderr = `${'noise\n'.repeat(1_000)}the reason\n`;
    const { error } = await turn({ exit: 1, stderr }, { limits: { maxStderrLength: 100 } });
    expect(error?.message).toBe('The CLI exited with 1: the reason');
    const { raw } = (error as unknown as { failure: { raw: { stderr: string } } }).failure;
    expect(raw.stderr).toHaveLength(100);
  });

  it('says why, however many fail at once', async () => {
    const backend = claudeCliBackend({ command: 'sh', commandArguments: ['-c', 'echo the reason >&2; exit 3'] });
    const fail = async () => (await runPrompt(backend, await backend.startSession(), 'Hi')).error?.message;
    const told: unknown[] = [];
    // How they meet differs from time to time.
    for (let time = 0; time < 5; time++) told.push(...(await Promise.all(Array.from({ length: 10 }, fail))));
    expect(new Set(told)).toEqual(new Set(['The CLI exited with 3: the reason']));
  });

  it.each([
    [{ command: '/no/such/claude' }, 'not_found'],
    [{ command: resolve('package.json') }, 'permission'],
    [{ cwd: '/no/such/folder' }, 'not_found'],
    [{ extraArguments: ['a\0b'] }, 'invalid_request'],
    [{ extraArguments: ['x'.repeat(200_000)] }, 'invalid_request'],
  ])('because it cannot be started is told so: %o', async (options, kind) => {
    const { error } = await turn({}, options);
    expect(error).toMatchObject({ kind, retryable: false });
  });
});

describe('a CLI of few words', () => {
  /** One turn of a program of its own. */
  const outcomeOf = async (program: string, prompt = 'Hi', limits: ClaudeCliOptions['limits'] = {}) => {
    const commandArguments = ['-e', program, '--'];
    const backend = claudeCliBackend({ command: process.execPath, commandArguments, limits });
    return runPrompt(backend, await backend.startSession(), prompt);
  };

  it('that reads no prompt is told by its exit', async () => {
    const { error } = await outcomeOf('process.exit(3)', 'x'.repeat(5_000_000));
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', failure: { status: 3 } });
  });

  it('that closes its output and lives on is ended', async () => {
    const { error } = await outcomeOf("require('fs').closeSync(1); setInterval(() => {}, 1000)", 'Hi', {
      exitGraceMs: 50,
    });
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', retryable: true });
  });

  it('that writes no UTF-8 is read all the same', async () => {
    const result = JSON.stringify({ type: 'result', subtype: 'success', result: 'done', session_id: 's' });
    const program = `process.stdout.write(Buffer.from([0xff, 0xc3, 10])); console.log(${JSON.stringify(result)}); process.stdout.write(Buffer.from([0xe2, 0x82]))`;
    expect(await outcomeOf(program)).toMatchObject({ response: { text: 'done' }, error: undefined });
  });

  it('that floods its standard error is not held up', async () => {
    const program = "process.stderr.write('x'.repeat(20_000_000) + '\\nthe reason', () => process.exit(1))";
    const { error } = await outcomeOf(program);
    expect(error?.message).toMatch(/: the reason$/);
  });
});

describe('what a CLI is given', () => {
  it.each([
    ['a flag', '--dangerously-skip-permissions'],
    ['nothing', ''],
    ['a long text', 'long '.repeat(100_000)],
    ['a text with a NUL', 'a\0b'],
  ])('is the prompt as it is: %s', async (_, prompt) => {
    const { error, asked } = await askedFor(prompt);
    expect(error).toBeUndefined();
    expect(asked?.prompt).toBe(prompt);
  });

  it('is a closed standard input, its own folder, and no more of the environment than it needs', async () => {
    process.env.SECRET_OF_THE_HOST = 'secret';
    process.env.ANTHROPIC_MODEL = 'from the host';
    try {
      const { asked } = await askedFor('Hi', { cwd: '/', env: { MORE: 'more', LANG: undefined } });
      expect(asked?.cwd).toBe('/');
      expect(asked?.env).toMatchObject({ MORE: 'more', ANTHROPIC_MODEL: 'from the host', PATH: process.env.PATH });
      expect(asked?.env).not.toHaveProperty('SECRET_OF_THE_HOST');
      expect(asked?.env).not.toHaveProperty('LANG');
    } finally {
      delete process.env.SECRET_OF_THE_HOST;
      delete process.env.ANTHROPIC_MODEL;
    }
  });

  it('is not an image', async () => {
    const backend = claudeCliBackend();
    const { signal } = new AbortController();
    const ask = async () => backend.prompt(await backend.startSession(), [{ media: { url: 'data:' } }], { signal });
    await expect(ask()).rejects.toMatchObject({ code: 'INVALID_VALUE', kind: 'input' });
  });

  async function askedFor(prompt: string, options: ClaudeCliOptions = {}) {
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const backend = claudeCliBackend({ command, commandArguments, ...options });
    cli.play({ text: ['ok'] });
    const { error } = await runPrompt(backend, await backend.startSession(), prompt);
    return { error, asked: cli.asked()[0] };
  }
});

describe.each([
  ['claude', claudeCliBackend],
  ['codex', codexCliBackend],
])('limits of %s', (_, backend) => {
  it.each([
    ['limits.idleTimeoutMs', { idleTimeoutMs: Number.NaN }],
    ['limits.killAfterMs', { killAfterMs: -1 }],
    ['limits.maxLineLength', { maxLineLength: '9' }],
    ['limits.idleTimeout', { idleTimeout: 1 }],
  ])('are refused by their name when they are none: %s', (path, limits) => {
    expect(() => backend({ limits: limits as object })).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', issues: [expect.objectContaining({ path })] }),
    );
  });
});

describe('a session that is terminated', () => {
  it('ends the turn in flight', async () => {
    await using cli = await ScriptedCli.start('claude');
    const { command, commandArguments } = cli;
    const backend = claudeCliBackend({ command, commandArguments });
    cli.play({ text: ['begun'], end: 'hang' });
    const session = await backend.startSession();
    const { events } = await backend.prompt(session, 'Hang', { signal: new AbortController().signal });
    const all = collect(events);
    await until(() => cli.asked().length === 1);
    await backend.terminateSession(session);
    expect((await all).at(-1)).toMatchObject({ type: 'error', error: { kind: 'cancelled' } });
    expect(cli.working()).toBe(0);
  });
});
