/** The program `genkitx-agent`, from its command line to its exit code. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type AgentHost, createAgentHost, type HostStore } from '../host/host.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { loadModule, startModule } from './agent-module.js';
import { cutTurns, leave } from './closing.js';
import { commands } from './commands.js';
import { demoNote, startDemo } from './demo.js';
import { Desk } from './desk.js';
import { quotedName } from './line.js';
import { MisuseError, told } from './misuse.js';
import { type Options, readOptions, usage } from './options.js';
import { type Input, type Output, Screen } from './screen.js';
import { talk } from './talk.js';
import { oneLine } from './text.js';

/** What the program is run with. */
export interface Surroundings {
  readonly input: Input;
  readonly output: Output;
  /** Where it is said why nothing could be started. */
  readonly errors: Output;
  /** The folder that paths start from. */
  readonly folder: string;
  /** The file of the program, somewhere in its package. */
  readonly program: string;
  /** Ends the process at once. */
  readonly exit: () => void;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** Somebody else ends the program: turns are cut, and what is to be remembered is. */
const endings = ['SIGTERM', 'SIGHUP'] as const;

/** Runs the program; answers its exit code. Never rejects. */
export async function main(args: readonly string[], around: Surroundings): Promise<number> {
  let options: Options;
  try {
    options = readOptions(args);
  } catch (error) {
    around.errors.write(`${told(error)}\n\n${usage}`);
    return 2;
  }
  if (options.help) around.output.write(usage);
  else if (options.version) around.output.write(`${versionOf(around.program)}\n`);
  else return run(options, around);
  return 0;
}

async function run(options: Options, around: Surroundings): Promise<number> {
  const { clock = systemClock } = around;
  let store: (HostStore & { close(): Promise<void> }) | undefined;
  let host: AgentHost | undefined;
  try {
    // A module that is not there leaves no file behind.
    const { module } = options;
    const start =
      module === undefined ? (host: AgentHost) => startDemo(host, clock) : await loadModule(module, around.folder);
    store = await openStore(options.store);
    const budget = options.budget === undefined ? {} : { maxCostUsd: options.budget };
    host = createAgentHost({ clock, budget, content: true, ...(store === undefined ? {} : { store }) });
    const names = await startModule(start, module ?? 'the demo', host);
    return await converse(host, names, options, around);
  } catch (error) {
    around.errors.write(`${told(error)}\n`);
    if (host !== undefined) await Promise.all([host.close(), cutTurns(host)]);
    return 1;
  } finally {
    await store?.close();
  }
}

async function converse(
  host: AgentHost,
  names: readonly string[],
  options: Options,
  around: Surroundings,
): Promise<number> {
  const { clock = systemClock, input, output, exit } = around;
  const complete = async (line: string): Promise<[string[], string]> => completions(line, await host.list());
  const screen = new Screen({ input, output, width: options.width, complete });
  const desk = new Desk(host, screen);
  let isHasty = false;
  const leaveNow = () => {
    isHasty = true;
    desk.interrupt();
    screen.close();
  };
  for (const signal of endings) process.on(signal, leaveNow);
  try {
    if (options.module === undefined) await screen.print(demoNote, 'quiet');
    if (names.length === 1) desk.chosen = names[0];
    await screen.print(greeting(names), 'quiet');
    const isLeftHastily = await talk(desk, clock);
    await leave(desk, { isHasty: isHasty || isLeftHastily, isKept: options.store !== undefined, exit });
  } finally {
    for (const signal of endings) process.off(signal, leaveNow);
  }
  return desk.hasFailed && !screen.isInteractive ? 1 : 0;
}

function greeting(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => quotedName(oneLine(name)));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : '';
  const who = `${names.length === 1 ? 'Agent' : 'Agents'}: ${shown.join(', ')}${more}.`;
  return `${who} "help" lists the commands.${names.length === 1 ? ' Plain text asks the agent.' : ''}`;
}

/** Commands at the beginning of a line, names behind them. */
function completions(line: string, names: readonly string[]): [string[], string] {
  const [, before = '', word = ''] = /^(.*?)(\S*)$/s.exec(line) ?? [];
  const candidates = before.trim() === '' ? Object.keys(commands) : names.map(quotedName);
  return [candidates.filter((one) => one.startsWith(word)).map((one) => `${one} `), word];
}

/** Loaded only where it is asked for: SQLite is an optional package on older runtimes. */
async function openStore(path: string | undefined) {
  if (path === undefined) return undefined;
  const { SqliteSessionStore } = await import('../stores/sqlite.js');
  const store = new SqliteSessionStore({ path });
  try {
    // The file is opened by the first that is asked of it; what is wrong with it is no fault of the agents'.
    await store.list({ limit: 1 });
  } catch (error) {
    throw new MisuseError(`--store ${path} cannot be used: ${told(error)}`, { cause: error });
  }
  return store;
}

/** The version of the package that the program is a part of. */
function versionOf(program: string): string {
  for (let folder = dirname(program); ; folder = dirname(folder)) {
    const manifest = manifestIn(folder);
    if (manifest?.name === 'genkitx-agent') return manifest.version;
    if (folder === dirname(folder)) return 'unknown';
  }
}

function manifestIn(folder: string): { readonly name: string; readonly version: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name: string; version: string };
  } catch {
    return undefined;
  }
}
