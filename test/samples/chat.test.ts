/** The terminal chat, as people use it: in a pipe, at a terminal, with Ctrl-C, and with Gemini's plugins. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { built, bundled } from '../support/built.js';
import {
  type GatedReply,
  GeminiError,
  type GeminiRequest,
  gatedReply,
  startGeminiServer,
} from '../support/gemini-server.js';
import { Program, type ProgramOptions } from '../support/program.js';

// Each test starts programs, and waits for what they print: how long that takes is the machine's business.
vi.setConfig({ testTimeout: 180_000 });

const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-chat-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const startCommand = (JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } }).scripts.start;

let folders = 0;
const newData = (): string => join(folder, `data-${++folders}`);

const main = bundled('samples/chat/main.ts');
/** With packages of its own to import, of which `GEMINI_PLUGIN` changes one. */
const unbundledMain = built('samples/chat/main.ts');
const offline = { GEMINI_API_KEY: undefined, GENKIT_ENV: undefined };

function startChat(args: readonly string[], env: ProgramOptions['env'] = {}): Program {
  const file = env.GEMINI_PLUGIN === undefined ? main : unbundledMain;
  return new Program(process.execPath, [file, ...args], { env: { ...offline, ...env } });
}

const sessionOf = (output: string): string => /Session ([\w-]{36})/.exec(output)?.[1] ?? 'none';

describe('in a pipe', () => {
  it('says which sessions it cannot read, and why', async () => {
    const data = newData();
    mkdirSync(data);
    writeFileSync(join(data, 'chat.db'), 'no database');
    await using chat = startChat(['--data', data]);
    expect(await chat.end('hello\n')).toEqual({ code: 1, signal: null });
    expect(chat.output).toBe(
      `The sessions in ${data} cannot be read: The SQLite database could not be opened: file is not a database\n`,
    );
  });

  it('answers each line, says how to come back, and goes on there', async () => {
    const data = newData();
    await using first = new Program('npm', ['start', '--silent', '--', '--data', data], { env: offline });
    expect(await first.end('hello\nmy name is Ada\n/quit\nnot asked\n')).toEqual({ code: 0, signal: null });
    expect(first.output).toContain('Answered by demo/offline');
    expect(first.output).toContain('> hello\n');
    expect(first.output).not.toContain('not asked');
    const session = sessionOf(first.output);
    expect(first.output).toContain(`npm start -- --data ${data} --session ${session}\n`);
    for (const path of [data, join(data, 'chat.db')]) expect(statSync(path).mode & 0o077).toBe(0);

    await using second = new Program('npm', ['start', '--silent', '--', '--data', data, '--session', session], {
      env: offline,
    });
    expect(await second.end('what is my name?\nhow many turns?')).toEqual({ code: 0, signal: null });
    expect(second.output).toContain(`Session ${session} (4 messages so far)`);
    expect(second.output).toContain('Your name is Ada; you told me in message 2.');
    expect(second.output).toContain('This is turn 4;');
  });

  it('loses no line and keeps their order, however fast they come', async () => {
    await using chat = startChat(['--data', newData()]);
    const lines = Array.from({ length: 200 }, (_, index) => `say line ${index + 1}`);
    expect(await chat.end(lines.join('\n'))).toEqual({ code: 0, signal: null });
    const answers = [...chat.output.matchAll(/^.*\bline (\d+)$/gm)].filter(([line]) => !line.startsWith('>'));
    expect(answers.map(([, number]) => Number(number))).toEqual(lines.map((_, index) => index + 1));
  });

  it('obeys commands', async () => {
    await using chat = startChat(['--data', newData()]);
    await chat.end(
      '/history\n/artifacts\n/fork\nmy cat is Tom\n/fork\nmy cat is Tim\n/new\nwhat is my cat?\n/nonsense\n/help\n',
    );
    const [first, copy, fresh] = [...chat.output.matchAll(/Session ([\w-]{36})/g)].map(([, id]) => id);
    expect(chat.output).toContain('Nothing yet.');
    expect(chat.output).toContain('None yet.');
    expect(chat.output).toContain('Nothing to copy yet.');
    expect(chat.output).toContain(`a copy of ${first}`);
    expect(chat.output).toContain('You have not told me your cat.');
    expect(chat.output).toContain('There is no /nonsense;');
    for (const command of ['/history', '/artifacts', '/fork', '/new', '/quit', '/help']) {
      expect(chat.output).toMatch(new RegExp(`^${command} +\\w`, 'm'));
    }
    expect(chat.output.match(/--session [\w-]{36}/g)).toEqual([first, copy, fresh].map((id) => `--session ${id}`));
  });

  it('refuses a command line it does not understand', async () => {
    await using chat = startChat(['--sesion', 'x']);
    expect(await chat.end()).toEqual({ code: 1, signal: null });
    expect(chat.output).toContain("Unknown option '--sesion'");
    expect(chat.output).toContain('Usage: npm start -- [--session ID]');
  });
});

/** A Gemini whose answers wait at their gates, and the environment that leads the chat to it. */
async function startGemini(replies: readonly GatedReply[] = []) {
  const waiting = [...replies];
  const server = await startGeminiServer({ reply: ({ text }) => waiting.shift() ?? `you said: ${text}` });
  return {
    requests: server.requests,
    env: { GEMINI_API_KEY: 'test-key', LOCAL_GEMINI_URL: server.url, NODE_OPTIONS: withLocalGemini },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

const withLocalGemini = `--import ${new URL('../support/fixtures/local-gemini.mjs', import.meta.url).href}`;

const saidIn = (request: GeminiRequest | undefined) =>
  request?.body.contents.map(
    ({ role, parts }) => `${role}: ${parts.map((part) => ('text' in part ? part.text : '')).join('')}`,
  );

describe('Ctrl-C', () => {
  it('cuts the answer short, keeps what was said, and the conversation goes on', async () => {
    const reply = gatedReply(['One, ', 'two, ', 'three']);
    await using gemini = await startGemini([reply]);
    const data = newData();
    await using chat = startChat(['--data', data], gemini.env);
    chat.write('count to three\n');
    reply.open(2);
    await chat.until('One, two, ');
    chat.signal('SIGINT');
    await chat.until('\n(interrupted)\n');
    expect(await gemini.requests[0]?.outcome).toBe('hung up');

    chat.write('/history\n');
    await chat.until('you: count to three\nmodel: One, two,  (interrupted)\n');
    chat.write('go on\n');
    await chat.until('you said: go on\n');
    expect(saidIn(gemini.requests[1])).toEqual(['user: count to three', 'model: One, two, ', 'user: go on']);

    chat.signal('SIGINT');
    await chat.until('To come back:');
    expect(await chat.exited).toEqual({ code: 0, signal: null });

    await using again = startChat(['--data', data, '--session', sessionOf(chat.output)]);
    await again.end('/history\n');
    expect(chat.output).not.toMatch(/Error|\bat /);
    expect(again.output).toContain('(4 messages so far)');
    expect(again.output).toContain('model: One, two,  (interrupted)\n');
  });

  // The `tsx` command starts a second process and kills it when that does not answer a SIGINT within 60 ms.
  it.skipIf(startCommand.startsWith('tsx '))('reaches the chat below npm, which gets it too', async () => {
    const reply = gatedReply(['One, ', 'two']);
    await using gemini = await startGemini([reply]);
    await using chat = new Program('npm', ['start', '--silent', '--', '--data', newData()], {
      env: { ...offline, ...gemini.env },
      group: true,
    });
    chat.write('count\n');
    reply.open(1);
    await chat.until('One, ');
    chat.signal('SIGINT');
    await chat.until('(interrupted)');
    chat.write('still there?\n');
    await chat.until('you said: still there?');
    await chat.end();
    expect(chat.output).toContain('To come back:');
  });

  it('SIGTERM leaves at once, with what was said', async () => {
    const reply = gatedReply(['One, ', 'two']);
    await using gemini = await startGemini([reply]);
    await using chat = startChat(['--data', newData()], gemini.env);
    chat.write('count\n');
    reply.open(1);
    await chat.until('One, ');
    chat.signal('SIGTERM');
    await chat.until('To come back:');
    expect(await chat.exited).toEqual({ code: 0, signal: null });
  });
});

const relay = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
const hasPty = spawnSync('python3', ['-c', 'import os, pty; os.waitstatus_to_exitcode']).status === 0;
if (!hasPty) console.warn('chat.test.ts: no python3, so the chat is not tried in a pseudo-terminal');

describe.skipIf(!hasPty)('at a terminal', () => {
  it('prompts, takes Ctrl-C as a key, and leaves with Ctrl-C at the prompt', async () => {
    const reply = gatedReply(['One, ', 'two']);
    await using gemini = await startGemini([reply]);
    await using chat = new Program('python3', ['-c', relay, process.execPath, main, '--data', newData()], {
      env: { ...offline, ...gemini.env },
    });
    await chat.until('\x1b[0J> ');
    chat.write('count\r');
    reply.open(1);
    await chat.until('One, ');
    chat.write('\x03');
    await chat.until('(interrupted)');
    await chat.until('\x1b[0J> ');
    chat.write('still there?\r');
    await chat.until('you said: still there?');
    await chat.until('\x1b[0J> ');
    chat.write('\x03');
    await chat.until('To come back:');
    expect(await chat.exited).toEqual({ code: 0, signal: null });
  });
});

describe.each(['@genkit-ai/googleai', '@genkit-ai/google-genai'])('with %s', (GEMINI_PLUGIN) => {
  it('streams the answer, remembers, and keeps code as an artifact', async () => {
    const code = gatedReply(['Here: \n```ts\nlet a', ' = 1;\n```\n', 'Done.']);
    await using gemini = await startGemini([code]);
    const data = newData();
    await using chat = startChat(['--data', data], { ...gemini.env, GEMINI_PLUGIN });
    chat.write('write code\n');
    code.open();
    await chat.until('let a');
    code.open(2);
    await chat.until('Done.');
    chat.write('/artifacts\n');
    await chat.until('--- code_1.ts\nlet a = 1;\n');
    expect(await chat.end()).toEqual({ code: 0, signal: null });
    expect(chat.output).toContain('Answered by gemini-2.5-flash.');

    await using again = startChat(['--data', data, '--session', sessionOf(chat.output)], {
      ...gemini.env,
      GEMINI_PLUGIN,
    });
    await again.end('and now?\n');
    expect(again.output).toContain('you said: and now?');
    expect(saidIn(gemini.requests[1])?.[0]).toBe('user: write code');
    expect(gemini.requests.map(({ apiKey }) => apiKey)).toEqual(['test-key', 'test-key']);
  });

  it('tells what went wrong, and the next question is answered', async () => {
    let isBroken = true;
    await using gemini = await startGeminiServer({
      reply: ({ text }) => (isBroken ? new GeminiError(429, 'quota used up') : `you said: ${text}`),
    });
    await using chat = startChat(['--data', newData()], {
      GEMINI_API_KEY: 'test-key',
      LOCAL_GEMINI_URL: gemini.url,
      NODE_OPTIONS: withLocalGemini,
      GEMINI_PLUGIN,
    });
    chat.write('one\n');
    await chat.until('quota used up');
    isBroken = false;
    expect(await chat.end('two\n')).toEqual({ code: 0, signal: null });
    expect(chat.output).toContain('you said: two');
  });
});
