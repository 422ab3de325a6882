/** The chat's terminal, on a pair of streams that claim to be one. */
import { PassThrough } from 'node:stream';
import { genkit } from 'genkit';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { defineChat } from '../../samples/chat/agent.js';
import { codeBlocks } from '../../samples/chat/code-blocks.js';
import { Conversation, type ConversationOptions } from '../../samples/chat/conversation.js';
import { readOptions } from '../../samples/chat/options.js';
import { talk } from '../../samples/chat/talk.js';
import { Terminal } from '../../samples/chat/terminal.js';
import { Transcript } from '../support/transcript.js';

type Answer = (question: string, say: (text: string) => void, signal: AbortSignal) => Promise<void>;

const echo: Answer = async (question, say) => say(`you said: ${question}`);

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

function chatWith(answer: Answer, store = new MemorySessionStore()) {
  const ai = genkit({ model: 'scripted' });
  ai.defineModel({ name: 'scripted', apiVersion: 'v2' }, async ({ messages }, { sendChunk, abortSignal }) => {
    let text = '';
    const say = (piece: string) => {
      text += piece;
      sendChunk({ content: [{ text: piece }] });
    };
    await answer(messages.at(-1)?.content[0]?.text ?? '', say, abortSignal);
    return { message: { role: 'model', content: [{ text }] }, finishReason: 'stop' };
  });
  return defineChat(ai, store);
}

/** A chat that runs, with somebody at its terminal. */
function sitDown(answer: Answer, { isTTY = true } = {}) {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = Object.assign(new PassThrough(), { isTTY, columns: 80 });
  const screen = new Transcript();
  output.setEncoding('utf8').on('data', (text: string) => screen.add(text));
  const terminal = new Terminal(input, output);
  const conversation = new Conversation(chatWith(answer));
  const left = talk(terminal, conversation)
    .finally(() => {
      terminal.close();
      return conversation.close();
    })
    .finally(() => screen.end());
  return { input, output, screen, terminal, conversation, left, press: (keys: string) => void input.write(keys) };
}

const ctrlC = '\x03';
const ctrlD = '\x04';
const ctrlZ = '\x1a';
/** How readline draws the prompt. */
const freshPrompt = '\x1b[0J> ';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('a terminal', () => {
  it('prompts, shows what is typed, and leaves with Ctrl-D', async () => {
    const { screen, press, left } = sitDown(echo);
    await screen.until(freshPrompt);
    press('hello\r');
    await screen.until('hello');
    await screen.until('you said: hello\n');
    await screen.until(freshPrompt);
    press(ctrlD);
    await left;
    expect(screen.text.endsWith('\n')).toBe(true);
  });

  it('hides what is typed into an answer, and asks it next', async () => {
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { screen, press, left } = sitDown(async (question, say) => {
      say(`about ${question}: `);
      if (question === 'first') await finished;
      say('done');
    });
    press('first\r');
    await screen.until('about first: ');
    press('second\rthi');
    finish();
    await screen.until('done\n> second\nabout second: done\n');
    await screen.until(`${freshPrompt}thi`);
    press('rd\r');
    await screen.until('about third: done\n');
    press(ctrlD);
    await left;
  });

  it('shows lines that are pasted together each before its answer', async () => {
    const { screen, press, left } = sitDown(echo);
    await screen.until(freshPrompt);
    press('one\rtwo\r\rthr');
    await screen.until('one\r\nyou said: one\n> two\nyou said: two\n> \n');
    await screen.until(`${freshPrompt}thr`);
    press('ee\r');
    await screen.until('you said: three\n');
    press(ctrlD);
    await left;
  });

  it('goes on after Ctrl-Z and fg', async () => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    const { screen, press, left } = sitDown(echo);
    await screen.until(freshPrompt);
    press('still');
    await screen.until('still');
    press(ctrlZ);
    await expect.poll(() => kill).toHaveBeenCalledWith(process.pid, 'SIGTSTP');
    process.emit('SIGCONT');
    await screen.until(`${freshPrompt}still`);
    press(' there\r');
    await screen.until('you said: still there\n');
    press(ctrlD);
    await left;
  });

  it('takes Ctrl-C in an answer for the answer, and at the prompt for the end', async () => {
    const { screen, press, left, conversation } = sitDown(async (question, say, signal) => {
      say('so far');
      if (question === 'hang') await untilAborted(signal);
    });
    press('hang\r');
    await screen.until('so far');
    press(ctrlC);
    await screen.until('(interrupted)');
    press('/history\r');
    await screen.until('you: hang\nmodel: so far (interrupted)\n');
    press('on\r');
    await screen.until('so far\n');
    await screen.until(freshPrompt);
    press(ctrlC);
    await left;
    expect((await conversation.saved())?.state.messages).toHaveLength(4);
  });

  it('takes Ctrl-C while something is being typed for that line, which then is not asked', async () => {
    const { screen, press, left } = sitDown(echo);
    await screen.until(freshPrompt);
    press('not this');
    await screen.until('not this');
    press(ctrlC);
    press('but this\r');
    await screen.until('you said: but this\n');
    await screen.until(freshPrompt);
    press(ctrlC);
    await left;
  });

  it('is left by Ctrl-C where a half-typed line cannot be cleared', async () => {
    vi.stubEnv('TERM', 'dumb');
    const { screen, press, left } = sitDown(echo);
    await screen.until('> ');
    press('not this');
    await screen.until('not this');
    press(ctrlC);
    await left;
  });

  it('is left by Ctrl-C twice, also when the model heeds no signal and more was typed', async () => {
    const { screen, press, left } = sitDown(async (question, say) => {
      say(`never ending ${question}`);
      await new Promise(() => {});
    });
    press('first\rsecond\r');
    await screen.until('never ending first');
    press(ctrlC);
    press(ctrlC);
    await left;
    expect(screen.text).toContain('(interrupted)');
    expect(screen.text).not.toContain('never ending second');
  });

  it('leaves a model alone that heeds no signal, and goes on', async () => {
    const { screen, press, left } = sitDown(async (question, say, signal) => {
      if (question !== 'stubborn') return echo(question, say, signal);
      say('so far');
      await new Promise(() => {});
    });
    press('stubborn\r');
    await screen.until('so far');
    press(ctrlC);
    await screen.until('(interrupted)');
    press('and now\r');
    await screen.until('you said: and now');
    press(ctrlD);
    await left;
  });

  it('takes a second Ctrl-C, a while later, for the next answer', async () => {
    const { screen, press, left } = sitDown(async (question, say, signal) => {
      say(`about ${question}`);
      await untilAborted(signal);
    });
    vi.useFakeTimers({ toFake: ['performance'] });
    press('one\rtwo\r');
    await screen.until('about one');
    press(ctrlC);
    await screen.until('about two');
    vi.advanceTimersByTime(1_000);
    press(ctrlC);
    await screen.until('(interrupted)\n');
    press(ctrlD);
    await left;
    expect(screen.text.match(/\(interrupted\)/g)).toHaveLength(2);
  });

  it('lets no answer steer it', async () => {
    const { screen, press, left } = sitDown(async (_, say) => say('a\x1b]0;title\x07b\u009b2J\tc\nd'));
    press('x\r');
    await screen.until('a]0;titleb2J\tc\nd\n');
    press(ctrlD);
    await left;
  });

  it('lets no error steer it', async () => {
    const { screen, press, left } = sitDown(async () => {
      throw new Error('a\x1b]0;title\x07b\u009b2J');
    });
    press('x\r');
    await screen.until('a]0;titleb2J');
    press(ctrlD);
    await left;
  });

  it('goes on after a model that failed', async () => {
    const { screen, press, left } = sitDown(async (question, say) => {
      if (question === 'fail') throw new Error('no such luck');
      await echo(question, say, new AbortController().signal);
    });
    press('fail\rwork\r');
    await screen.until('no such luck');
    await screen.until('you said: work');
    press(ctrlD);
    await left;
  });
});

describe('a pipe', () => {
  it('shows each line before its answer, skips empty ones, and ends with the input', async () => {
    const { screen, input, left } = sitDown(echo, { isTTY: false });
    input.end('one\n\ntwo');
    await left;
    expect(screen.text).toBe('> one\nyou said: one\n> \n> two\nyou said: two\n');
  });

  it('ends when nobody reads any more', async () => {
    const { screen, input, output, left } = sitDown(echo, { isTTY: false });
    input.write('one\n');
    await screen.until('you said: one');
    output.destroy(new Error('EPIPE'));
    await left;
  });
});

describe('a conversation', () => {
  it('tells when another program has the session, and goes on when that has left', async () => {
    const chat = chatWith(echo);
    const first = new Conversation(chat, { sessionId: 'shared' });
    for await (const _ of first.ask('mine'));

    let tell = () => {};
    const told = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const options: ConversationOptions = { sessionId: 'shared', onWaiting: tell };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const second = new Conversation(chat, options);
    const answer = second.ask('yours').next();
    await vi.advanceTimersByTimeAsync(1_000);
    await told;
    vi.useRealTimers();
    await first.close();
    expect(await answer).toEqual({ value: 'you said: yours', done: false });
    await second.close();
  });

  it('can be interrupted while it waits for the session', async () => {
    const chat = chatWith(echo);
    const first = new Conversation(chat, { sessionId: 'shared' });
    for await (const _ of first.ask('mine'));
    const second = new Conversation(chat, { sessionId: 'shared' });
    const answer = second.ask('yours').next();
    expect(second.interrupt()).toBe(true);
    expect(second.interrupt()).toBe(false);
    expect(await answer).toEqual({ value: undefined, done: true });
    expect(second.wasInterrupted).toBe(true);
    await first.close();
    expect((await first.saved())?.state.messages).toHaveLength(2);
  });
});

describe('the command line', () => {
  it('keeps sessions where the XDG specification wants state', () => {
    expect(readOptions([], { XDG_STATE_HOME: '/state' }).data).toBe('/state/genkitx-agent');
    expect(readOptions([], { XDG_STATE_HOME: 'relative' }).data).toMatch(/\/\.local\/state\/genkitx-agent$/);
    expect(readOptions(['--data', '/d'], {}).data).toBe('/d');
  });

  it('shows its usage, with the folder that is meant', () => {
    expect(readOptions(['-h'], {}).help).toBe(true);
    expect(() => readOptions(['--nonsense'], { XDG_STATE_HOME: '/state' })).toThrow(
      'instead of /state/genkitx-agent\n',
    );
  });

  it('says what to type to come back, as a shell reads it', () => {
    expect(readOptions([], {}).comeBack('id')).toBe('npm start -- --session id');
    const { comeBack } = readOptions(['--data', "it's here"], {});
    expect(comeBack('$(id)')).toBe(`npm start -- --data 'it'\\''s here' --session '$(id)'`);
  });

  it.each(['--session', '--data'])('refuses an empty %s', (option) => {
    expect(() => readOptions([option, ''], {})).toThrow(`'${option}' must not be empty`);
  });
});

describe('code blocks', () => {
  it('become files, numbered on from the ones there are', () => {
    const text = 'First:\n```ts\nlet a;\n```\nand\n```\nplain\n```\nnot `this` nor ```that```';
    expect(codeBlocks(text, 2)).toEqual([
      { name: 'code_3.ts', parts: [{ text: 'let a;\n' }] },
      { name: 'code_4.txt', parts: [{ text: 'plain\n' }] },
    ]);
  });
});
