/** The program in this process: what it starts, what it says when it cannot, and how it ends. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from '../../src/terminal/main.js';
import { settled } from '../host/harness.js';
import { Transcript } from '../support/transcript.js';

const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-terminal-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const src = join(process.cwd(), 'src');
/** What modules of this test begin with. */
const imports = `
  import { scriptedBackend } from '${src}/backends/scripted.ts';
  import { defineBehaviour, noreply } from '${src}/host/host.ts';
  const plain = defineBehaviour({ init: () => ({ state: null }), handleResponse: (_ref, _answer, state) => noreply(state) });
`;

let modules = 0;

/** A module in a file of its own; answers its name. */
function moduleOf(text: string, extension = 'ts'): string {
  const name = `agents-${++modules}.${extension}`;
  writeFileSync(join(folder, name), text);
  return name;
}

/** Starts one agent whose turns are these, in JavaScript. */
const startsWriter = (turns: string, more = '') =>
  moduleOf(`${imports}
    export default async (host) => {
      await host.start(plain, { name: 'writer', backend: scriptedBackend({ turns: ${turns} }), ${more} });
    };`);

/** Runs the program; `lines` are piped in, or typed later where there are none. */
function start(args: readonly string[], lines?: readonly string[], isTTY = false) {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = Object.assign(new PassThrough(), { isTTY, columns: 80, getColorDepth: () => 1 });
  const errors = new PassThrough();
  const shown = new Transcript();
  let complaints = '';
  output.setEncoding('utf8').on('data', (text: string) => shown.add(text));
  errors.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  let exits = 0;
  const exit = () => {
    exits += 1;
  };
  const program = join(process.cwd(), 'src/terminal/bin.ts');
  const ended = main(args, { input, output, errors, folder, program, exit }).finally(() => shown.end());
  if (lines !== undefined) input.end(lines.map((line) => `${line}\n`).join(''));
  return { input, shown, ended, complaints: () => complaints, exits: () => exits };
}

async function run(args: readonly string[], lines: readonly string[] = []) {
  const { ended, shown, complaints } = start(args, lines);
  const code = await ended;
  return { code, text: shown.text, complaints: complaints() };
}

describe('the program', () => {
  it('prints its version and its usage', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await run(['--version'])).toEqual({ code: 0, text: `${version}\n`, complaints: '' });
    expect(await run(['--help'])).toMatchObject({ code: 0, text: expect.stringMatching(/^Usage: genkitx-agent /) });
  });

  it('refuses a command line it does not understand', async () => {
    const { code, complaints } = await run(['--sesion']);
    expect(code).toBe(2);
    expect(complaints).toMatch(/^Unknown option '--sesion'.*Usage: /s);
  });

  it('starts the agents of a module; of a single one plain text is asked', async () => {
    const { code, text, complaints } = await run([startsWriter(`['A poem.']`)], ['write', 'list']);
    expect(complaints).toBe('');
    expect(text).toBe(
      'Agent: writer. "help" lists the commands. Plain text asks the agent.\n' +
        'writer> write\nA poem.\nwriter> list\nwriter\n',
    );
    expect(code).toBe(0);
  });

  it('has demo agents that work offline, for those who have none', async () => {
    const { code, text } = await run([], ['ask writer a poem', 'tell critic one two', 'await', 'graph']);
    expect(code).toBe(0);
    expect(text).toMatch(/^A demo: these agents work offline/);
    expect(text).toContain('Agents: writer, critic, parrot. "help" lists the commands.\n');
    expect(text).toContain('This is all a demo can draft about "a poem": it came to pass,');
    expect(text).toContain('2 words, and the longest is one: say it with fewer.\n');
    expect(text).toMatch(/writer +→ +critic +tell +1\n/);
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('exits 1 when a command failed in a pipe, and 0 at a terminal', async () => {
    expect((await run([startsWriter('[]')], ['nonsense'])).code).toBe(1);
    const { input, shown, ended } = start([startsWriter('[]')], undefined, true);
    await shown.until('writer> ');
    input.write('/nonsense\r');
    await shown.until('! There is no command "nonsense"');
    input.write('\x04');
    expect(await ended).toBe(0);
  });

  it('completes commands and names', async () => {
    const { input, shown, ended } = start([startsWriter('[]')], undefined, true);
    await shown.until('writer> ');
    input.write('hist\t');
    await shown.until('ory ');
    input.write('wr\t');
    await shown.until('iter ');
    input.write('\r');
    await shown.until('No turn yet.');
    input.write('\x04');
    expect(await ended).toBe(0);
  });

  it('breaks lines where it is told to', async () => {
    const long = 'word '.repeat(30).trim();
    const module = startsWriter(`['${long}']`);
    expect((await run([module, '--width', '0'], ['go'])).text).toContain(`\n${long}\n`);
    const { text } = await run([module, '--width', '30'], ['go']);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(30);
  });

  it('holds all agents together to a budget', async () => {
    const paid = `[{ type: 'text', text: 'one' }, { type: 'result', costUsd: 0.5 }]`;
    const { code, text } = await run([startsWriter(`[${paid}, 'two']`), '--budget', '0.4'], ['one', 'two']);
    expect(text).toContain('writer> two\n! ');
    expect(text).toContain('BUDGET_EXCEEDED');
    expect(code).toBe(1);
  });
});

describe('a module that starts no agent', () => {
  it.each([
    ['is not there', 'nowhere.mjs', 'There is no module "nowhere.mjs"\n'],
    ['is a folder', folder, 'is a folder; expected: a module in it\n'],
    [
      'has no default export',
      moduleOf('export const agents = 1;'),
      'has no default export; expected: export default async',
    ],
    ['exports something else', moduleOf('export default {};'), 'has a default export that is no function (object)'],
    ['throws when it is loaded', moduleOf(`throw new TypeError('no luck');`), 'could not be loaded: no luck\n'],
    ['has a mistake in it', moduleOf('export default (;', 'mjs'), 'could not be loaded: '],
    [
      'throws',
      moduleOf(`export default () => { throw new TypeError('no key'); };`),
      'could not start its agents: no key\n',
    ],
    ['starts none', moduleOf('export default () => {};'), 'has started no agent; expected: await host.start(…)\n'],
    [
      'starts two of one name',
      moduleOf(`${imports}
        export default async (host) => {
          await host.start(plain, { name: 'a', backend: scriptedBackend() });
          await host.start(plain, { name: 'a', backend: scriptedBackend() });
        };`),
      'could not start its agents: There is an agent "a" already (AGENT_EXISTS)\n',
    ],
  ])('%s', async (_, module, says) => {
    const { code, text, complaints } = await run([module, '--store', join(folder, 'untouched.db')], ['list']);
    expect(code).toBe(1);
    expect(text).toBe('');
    expect(complaints).toContain(says);
    expect(complaints).toContain(module);
  });

  it('does not wait for what it has begun', async () => {
    const module = moduleOf(`${imports}
      const never = [{ type: 'text', text: 'so far' }, new Promise(() => {})];
      export default async (host) => {
        await host.start(plain, { name: 'writer', backend: scriptedBackend({ turns: [never] }) });
        await host.tell('writer', 'go');
        throw new TypeError('no key');
      };`);
    expect(await run([module])).toMatchObject({ code: 1, complaints: expect.stringContaining('no key') });
  });

  it('says where in it that was', async () => {
    const module = moduleOf(`export default () => {\n  throw new TypeError('no key');\n};`);
    expect((await run([module])).complaints).toMatch(new RegExp(`no key\\n.*${module}:2`));
  });

  it('is not blamed for a store that cannot be read', async () => {
    const store = join(folder, 'not-a-database.db');
    writeFileSync(store, 'not a database');
    const why = 'The SQLite database could not be opened: file is not a database (STORE_FAILED)';
    const { code, complaints } = await run(['--store', store]);
    expect({ code, complaints }).toEqual({ code: 1, complaints: `--store ${store} cannot be used: ${why}\n` });
  });

  it('leaves no file behind when it is not there', async () => {
    const store = join(folder, 'none.db');
    await run(['nowhere.mjs', '--store', store]);
    expect(existsSync(store)).toBe(false);
  });
});

describe('leaving', () => {
  const waits = (...texts: string[]) =>
    `[${texts.map((text) => `[{ type: 'text', text: '${text}' }, globalThis.gate, { type: 'result' }]`).join(', ')}]`;

  /** What the turns of a module wait for. */
  function gate(): () => void {
    let open = () => {};
    Object.assign(globalThis, {
      gate: new Promise<void>((resolve) => {
        open = resolve;
      }),
    });
    return open;
  }

  it('lets the turn in flight end, and says what was not answered', async () => {
    const open = gate();
    const { shown, ended } = start([startsWriter(waits('one', 'two'))], ['tell writer a', 'tell writer b']);
    await shown.until('#2 told to writer');
    open();
    expect(await ended).toBe(1);
    expect(shown.text).not.toContain('#1 writer: not answered');
    expect(shown.text).toContain('! #2 writer: not answered; "await" waits for answers\n');
  });

  it('says how a turn failed that nobody has looked at', async () => {
    const module = startsWriter(`[{ refuses: new TypeError('no luck') }]`);
    const { code, text } = await run([module], ['tell writer a']);
    expect(text).toContain('! #1 writer: no luck (BACKEND_FAILED)\n');
    expect(code).toBe(1);
  });

  it('keeps what waits in the store, and answers it the next time', async () => {
    const open = gate();
    const store = ['--store', join(folder, 'kept.db')];
    const first = start([startsWriter(waits('one', 'two')), ...store], ['tell writer a', 'tell writer b']);
    await first.shown.until('#2 told to writer');
    open();
    expect(await first.ended).toBe(0);
    expect(first.shown.text).toContain('#2 writer: kept, to be answered next time\n');
    const ref = /#2 told to writer, ref (\S+)/.exec(first.shown.text)?.[1] ?? '';
    const { code, text } = await run([startsWriter(`['at last']`), ...store], [`await writer ${ref}`]);
    expect(text).toContain(`${ref} writer:\nat last\n`);
    expect(code).toBe(0);
  });

  it('cuts the turns in flight after Ctrl-C twice', async () => {
    gate();
    const { input, shown, ended } = start([startsWriter(waits('one', 'two'))], undefined, true);
    await shown.until('writer> ');
    input.write('tell writer a\rgo\r');
    await shown.until('> go');
    await settled();
    input.write('\x03\x03');
    expect(await ended).toBe(0);
    expect(shown.text).toContain('#1 writer: The turn was interrupted (TURN_INTERRUPTED)\n');
  });

  it('says who is still at work, cuts that at Ctrl-C, and exits at the next one', async () => {
    gate();
    const module = moduleOf(`${imports}
      const stubborn = { ...plain, handleError: () => globalThis.gate };
      export default (host) =>
        host.start(stubborn, { name: 'writer', backend: scriptedBackend({ turns: ${waits('one')} }) });`);
    const open = gate();
    const { input, shown, ended, exits } = start([module], undefined, true);
    await shown.until('writer> ');
    input.write('tell writer a\r');
    await shown.until('#1 told');
    input.write('\x04');
    await shown.until('writer at work; Ctrl-C does not wait\n');
    process.emit('SIGINT');
    expect(exits()).toBe(0);
    process.emit('SIGINT');
    expect(exits()).toBe(1);
    open();
    expect(await ended).toBe(0);
  });
});
