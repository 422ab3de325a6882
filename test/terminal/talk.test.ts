/** Ctrl-C, the prompt, and what is shown while somebody types. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { settled } from '../host/harness.js';
import { screenOf, sitDown } from './harness.js';

const ctrlC = '\x03';
const ctrlD = '\x04';
const ctrlZ = '\x1a';
/** How readline draws the prompt. */
const freshPrompt = '\x1b[0J> ';
const never = [{ type: 'text', text: 'so far ' }, new Promise<undefined>(() => {})] as const;

afterEach(() => {
  vi.restoreAllMocks();
});

describe('at a terminal', () => {
  it('prompts, shows what is typed, and leaves with Ctrl-D', async () => {
    const { shown, type, left, start } = sitDown({ isTTY: true });
    await start('writer', ['hello']);
    await shown.until(freshPrompt);
    type('ask writer hi\r');
    await shown.until('ask writer hi');
    await shown.until('hello\n');
    await shown.until(freshPrompt);
    type(ctrlD);
    await left;
    expect(shown.text.endsWith('\n')).toBe(true);
  });

  it('shows what happens above the line that is being typed', async () => {
    const { shown, type, left, start, host } = sitDown({ isTTY: true });
    await start('writer', ['done']);
    type('watch\r');
    await shown.until('Watching all agents');
    await shown.until(freshPrompt);
    type('list');
    await shown.until('list');
    await host.tell('writer', 'go');
    await shown.until('\x1b[1G\x1b[0J15:04:05  writer      turn.start');
    await shown.until(`${freshPrompt}list`);
    type('\r');
    await shown.until('\nwriter\n');
    type(ctrlD);
    await left;
  });

  it('goes on after Ctrl-Z and fg', async () => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    const { shown, type, left } = sitDown({ isTTY: true });
    await shown.until(freshPrompt);
    type('not');
    await shown.until('not');
    type(ctrlZ);
    await expect.poll(() => kill).toHaveBeenCalledWith(process.pid, 'SIGTSTP');
    process.emit('SIGCONT');
    await shown.until(`${freshPrompt}not`);
    type('hing\r');
    await shown.until('nothing');
    type(ctrlD);
    await left;
  });

  it('takes Ctrl-C in an answer for the answer, and at the prompt for the end', async () => {
    const { shown, type, left, start, host } = sitDown({ isTTY: true });
    await start('writer', [never, 'on']);
    type('ask writer hang\r');
    await shown.until('so');
    type(ctrlC);
    await shown.until('(interrupted)\n');
    await settled();
    expect(await host.status('writer')).toMatchObject({ state: 'idle' });
    type('ask writer go\r');
    await shown.until('on\n');
    await shown.until(freshPrompt);
    type(ctrlC);
    await left;
  });

  it('takes Ctrl-C while something is being typed for that line, which then does nothing', async () => {
    const { shown, type, left, start, host } = sitDown({ isTTY: true });
    await start('writer', []);
    await shown.until(freshPrompt);
    type('ask writer not this');
    await shown.until('not this');
    type(ctrlC);
    type('list\r');
    await shown.until('\nwriter\n');
    expect(await host.turnCount('writer')).toBe(0);
    await shown.until(freshPrompt);
    type(ctrlC);
    expect(await left).toBe(false);
  });

  it('takes back a prompt that still waits, and leaves the turn in flight alone', async () => {
    const { shown, type, left, start, host } = sitDown({ isTTY: true });
    await start('writer', [never]);
    await host.tell('writer', 'first');
    type('ask writer second\r');
    await shown.until('ask writer second');
    await settled();
    expect(await host.status('writer')).toMatchObject({ state: 'processing', queued: 1 });
    type(ctrlC);
    await shown.until('(interrupted)\n');
    expect(await host.status('writer')).toMatchObject({ state: 'processing', queued: 0 });
    type(ctrlD);
    await left;
  });

  it('is left by Ctrl-C twice, whatever else was typed', async () => {
    const { shown, type, left, start, clock } = sitDown({ isTTY: true });
    await start('writer', [never, never, never]);
    type('ask writer one\rask writer two\rask writer three\r');
    await shown.until('so');
    type(ctrlC);
    await shown.until('> ask writer two\n');
    await shown.until('so');
    clock.advance(1_000);
    type(ctrlC);
    await shown.until('> ask writer three\n');
    await shown.until('so');
    type(ctrlC);
    expect(await left).toBe(true);
    expect(shown.text.match(/\(interrupted\)/g)).toHaveLength(3);
  });

  it('stops waiting for an event that is not handled', async () => {
    const { shown, type, left, start } = sitDown({ isTTY: true });
    await start('writer', [], { handleEvent: () => new Promise(() => {}) });
    type('notify writer now\r');
    await shown.until('notify writer now');
    await settled();
    type(ctrlC);
    await shown.until('! No longer waiting; the agent works on (WAIT_TIMEOUT)');
    type(ctrlD);
    await left;
  });

  it('stops waiting for a tell with Ctrl-C, and the turn goes on', async () => {
    const { shown, type, left, start, host } = sitDown({ isTTY: true });
    await start('writer', [never]);
    type('tell writer go\rawait 1\r');
    await shown.until('await 1');
    await settled();
    type(ctrlC);
    await shown.until('! No longer waiting; the agent works on (WAIT_TIMEOUT)');
    expect(await host.status('writer')).toMatchObject({ state: 'processing' });
    type(ctrlD);
    await left;
  });
});

describe('in a pipe', () => {
  it('shows each line before its answer, and ends with the input', async () => {
    const { start, script } = sitDown();
    await start('writer', ['one', 'two']);
    expect(await script('ask writer 1', 'ask writer 2')).toBe('> ask writer 1\none\n> ask writer 2\ntwo\n');
  });
});

describe('a screen', () => {
  it('breaks lines where its terminal ends, or at 80 columns', async () => {
    const text = 'x'.repeat(100);
    for (const [seat, columns] of [
      [{}, 80],
      [{ isTTY: true, columns: 40 }, 40],
      [{ isTTY: true, columns: 0 }, 80],
      [{ isTTY: true, columns: 3 }, 20],
    ] as const) {
      const { screen, shown } = screenOf(seat);
      expect(screen.width).toBe(columns);
      await screen.print(text);
      screen.close();
      expect(Math.max(...shown.text.split('\n').map((line) => line.length))).toBe(columns);
    }
  });

  it('has colour at a terminal that has it, and nowhere else', async () => {
    for (const [isTTY, depth, expected] of [
      [true, 8, '\x1b[31mno\x1b[39m\n'],
      [true, 1, 'no\n'],
      [false, 8, 'no\n'],
    ] as const) {
      const { screen, shown, output } = screenOf({ isTTY });
      Object.assign(output, { getColorDepth: () => depth });
      await screen.print('no', 'bad');
      screen.close();
      expect(shown.text).toBe(expected);
    }
  });

  it('goes on with an answer on a new line when something else comes between', async () => {
    const { screen, shown } = screenOf();
    await screen.stream('one two ');
    await screen.print('an event');
    await screen.stream('three four');
    await screen.endStream();
    screen.close();
    expect(shown.text).toBe('one two\nan event\nthree four\n');
  });

  it('ends when nobody reads any more', async () => {
    const { left, host, start, screen, shown, type } = sitDown();
    await start('writer', ['one']);
    type('ask writer 1\n');
    await shown.until('one\n');
    screen.close();
    await left;
    await host.close();
  });
});
