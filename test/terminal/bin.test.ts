/** The program as people run it: from a shell, in a pipe, at a terminal. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { built } from '../support/built.js';
import { Program } from '../support/program.js';

// Each test starts programs, and waits for what they print: how long that takes is the machine's business.
vi.setConfig({ testTimeout: 180_000 });

const folder = mkdtempSync(join(tmpdir(), 'genkitx-agent-bin-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = process.cwd();
const bin = built('src/terminal/bin.ts');
/** What it is started with where the module is TypeScript. */
const withTsx = ['--import', 'tsx', 'src/terminal/bin.ts'];

/** Writes a module of two agents, of which one never ends its first turn; `imported` is the path of a file of ours. */
function writeAgents(name: string, imported: (source: string) => string): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    `import { scriptedBackend } from '${imported('src/backends/scripted.ts')}';
     import { defineBehaviour, noreply } from '${imported('src/host/host.ts')}';
     const plain = defineBehaviour({
       init: () => ({ state: { events: [] } }),
       handleResponse: (_ref, _response, state) => noreply(state),
       handleEvent: (event, { events }) => noreply({ events: [...events, event] }),
     });
     const answer = ({ text }) => 'You said: ' + text;
     const never = [{ type: 'text', text: 'So far ' }, new Promise(() => {})];
     export default async (host) => {
       await host.start(plain, { name: 'echo', backend: scriptedBackend({ turns: Array(9).fill(answer) }) });
       await host.start(plain, { name: 'slow', backend: scriptedBackend({ turns: [never, answer] }) });
       setInterval(() => {}, 1_000);
     };`,
  );
  return path;
}

const agents = writeAgents('agents.mjs', built);

describe('in a pipe', () => {
  it('npm run agents: obeys, answers, and exits 0 although the module has left a timer', async () => {
    const sources = writeAgents('sources.mts', (source) => join(root, source));
    await using program = new Program('npm', ['run', '--silent', 'agents', '--', sources]);
    const lines = ['ask echo hello', 'tell echo later', 'await', 'notify echo {"a": 1}', 'status echo', 'graph'];
    expect(await program.end(lines.join('\n'))).toEqual({ code: 0, signal: null });
    expect(program.output).toContain(
      'Agents: echo, slow. "help" lists the commands.\n> ask echo hello\nYou said: hello\n',
    );
    expect(program.output).toContain('#1 echo:\nYou said: later\n');
    expect(program.output).toContain('knows    { events: [ { a: 1 } ] }\n');
    expect(program.output).not.toContain('\x1b');
    expect(program.output.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('loses no line, however fast they come', async () => {
    await using program = new Program(process.execPath, [bin]);
    const lines = Array.from({ length: 200 }, (_, index) => `help /nothing${index}`);
    expect((await program.end(lines.join('\n'))).code).toBe(1);
    const said = [...program.output.matchAll(/^! There is no command "\/nothing(\d+)"/gm)].map(([, number]) =>
      Number(number),
    );
    expect(said).toEqual(lines.map((_, index) => index));
  });

  it('prints its version, and refuses what it does not understand', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    await using asked = new Program(process.execPath, [bin, '--version']);
    expect(await asked.end()).toEqual({ code: 0, signal: null });
    expect(asked.output).toBe(`${version}\n`);
    await using wrong = new Program(process.execPath, [bin, '--sesion']);
    expect(await wrong.end()).toEqual({ code: 2, signal: null });
    await using nowhere = new Program(process.execPath, [bin, 'nowhere.mjs']);
    expect(await nowhere.end()).toEqual({ code: 1, signal: null });
    expect(nowhere.output).toBe('There is no module "nowhere.mjs"\n');
    const module = join(folder, 'broken.mjs');
    writeFileSync(module, `throw new TypeError('no luck');`);
    await using broken = new Program(process.execPath, [bin, module]);
    expect(await broken.end()).toEqual({ code: 1, signal: null });
    expect(broken.output).toContain('broken.mjs could not be loaded: no luck\n');
    // It may say where in the module that was, and not where in this program.
    expect(broken.output).not.toContain('src/terminal');
  });

  it.each(['agents.cts', 'agents.ts'])('loads TypeScript that is compiled to CommonJS: %s', async (name) => {
    const commonJs = join(folder, name);
    writeFileSync(
      commonJs,
      `import { hostname } from 'node:os';
       const turn = async function* () { yield { type: 'result', text: 'at ' + hostname() }; };
       const prompt = (session: null) => ({ session, events: turn() });
       const backend = { name: 'own', startSession: () => null, terminateSession() {}, prompt };
       const handleResponse = (_ref: string, _response: unknown, state: null) => ({ decision: 'noreply', state });
       export default async (host: { start(what: unknown, how: unknown): Promise<unknown> }) => {
         await host.start({ init: () => ({ state: null }), handleResponse }, { name: 'echo', backend });
       };`,
    );
    await using program = new Program(process.execPath, [...withTsx, commonJs]);
    expect(await program.end('where?\n')).toEqual({ code: 0, signal: null });
    expect(program.output).toContain(`echo> where?\nat ${hostname()}\n`);
  });

  it.each(['exports.default =', 'module.exports ='])('loads CommonJS: %s', async (exported) => {
    const commonJs = join(folder, 'compiled.cjs');
    writeFileSync(
      commonJs,
      `Object.defineProperty(exports, '__esModule', { value: true });
       const turn = async function* () { yield { type: 'result', text: 'here' }; };
       const prompt = (session) => ({ session, events: turn() });
       const backend = { name: 'own', startSession: () => null, terminateSession() {}, prompt };
       const handleResponse = (_ref, _response, state) => ({ decision: 'noreply', state });
       ${exported} (host) =>
         host.start({ init: () => ({ state: null }), handleResponse }, { name: 'echo', backend });`,
    );
    await using program = new Program(process.execPath, [bin, commonJs]);
    expect(await program.end('where?\n'), program.output).toEqual({ code: 0, signal: null });
    expect(program.output).toContain('echo> where?\nhere\n');
  });

  it('starts the module that is printed in the documentation', async () => {
    const section = readFileSync('docs/host.md', 'utf8').split('## A terminal')[1] ?? '';
    const [, text = ''] = /^```ts\n(.*?)^```$/ms.exec(section) ?? [];
    const printed = join(folder, 'printed.mts');
    writeFileSync(printed, text);
    const env = { TSX_TSCONFIG_PATH: join(root, 'tsconfig.json') };
    await using program = new Program(process.execPath, [...withTsx, printed], { env });
    expect(await program.end('list\nstatus writer\n'), program.output).toEqual({ code: 0, signal: null });
    expect(program.output).toContain('knows    { drafts: 0 }\n');
  });

  it('interrupts the answer at SIGINT, and leaves at the second', async () => {
    await using program = new Program(process.execPath, [bin, agents]);
    program.write('ask slow now\nask slow again\nask echo never asked\n');
    await program.until('So far');
    program.signal('SIGINT');
    await program.until('(interrupted)\n');
    await program.until('You said: again\n');
    expect((await program.end()).code).toBe(1);
  });

  it('ends at SIGTERM, and cuts what goes on', async () => {
    await using program = new Program(process.execPath, [bin, agents]);
    program.write('tell slow now\nlist\n');
    await program.until('> list\necho\nslow\n');
    program.signal('SIGTERM');
    expect((await program.exited).signal).toBeNull();
    expect(program.output).toContain('! #1 slow: The turn was interrupted (TURN_INTERRUPTED)\n');
  });

  it('ends when nobody reads any more', async () => {
    const command = `yes 'list' | '${process.execPath}' '${bin}' '${agents}' | head -5`;
    await using program = new Program('sh', ['-c', command]);
    expect(await program.end()).toEqual({ code: 0, signal: null });
    expect(program.output).toContain('> list\necho\nslow\n');
    expect(program.output).not.toContain('EPIPE');
  });
});

// Relays a program's terminal to pipes, and exits as it does.
const relay = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
const hasPty = spawnSync('python3', ['-c', 'import os, pty; os.waitstatus_to_exitcode']).status === 0;
if (!hasPty) console.warn('bin.test.ts: no python3, so the program is not tried in a pseudo-terminal');

describe.skipIf(!hasPty)('at a terminal', () => {
  const terminal = (env: Record<string, string | undefined> = {}) =>
    new Program('python3', ['-c', relay, process.execPath, bin, agents], { env: { TERM: 'xterm', ...env } });

  it('prompts, shows what happens while somebody types, takes Ctrl-C as a key, and leaves with Ctrl-D', async () => {
    // Node takes a terminal of a CI for one without colours.
    await using program = terminal({ CI: undefined, NO_COLOR: undefined, FORCE_COLOR: undefined });
    await program.until('\x1b[2mAgents: echo, slow.');
    await program.until('\x1b[0J> ');
    program.write('ask slow now\r');
    await program.until('So far');
    program.write('\x03');
    await program.until('(interrupted)');
    await program.until('\x1b[0J> ');
    program.write('tell echo hello\r');
    await program.until('#1 echo has answered; "await 1" shows it');
    await program.until('\x1b[0J> ');
    program.write('await\r');
    await program.until('You said: hello');
    await program.until('\x1b[0J> ');
    program.write('/nonsense\r');
    await program.until('\x1b[31m! There is no command "nonsense"');
    program.write('\x04');
    expect(await program.exited).toEqual({ code: 0, signal: null });
  });

  it('has no colour where none is wanted', async () => {
    await using program = terminal({ NO_COLOR: '1', FORCE_COLOR: undefined });
    await program.until('Agents: echo, slow.');
    await program.until('\x1b[0J> ');
    program.write('\x04');
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.output).not.toContain('\x1b[2m');
  });
});
