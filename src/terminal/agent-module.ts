/** Loads the module that says which agents there are. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isAgentFlowError } from '../errors.js';
import type { AgentHost } from '../host/host.js';
import { MisuseError, told } from './misuse.js';

/** This program's own code. */
const ownFolder = dirname(fileURLToPath(import.meta.url));

/** What a module exports by default: starts agents in the host it is given. What it answers is not looked at. */
export type AgentModule = (host: AgentHost) => unknown;

/** Loads a module. Rejects with a {@link MisuseError} that says why it cannot be had. */
export async function loadModule(path: string, folder: string): Promise<AgentModule> {
  const file = resolve(folder, path);
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new MisuseError(`There is no module "${path}"`);
  if (found.isDirectory()) throw new MisuseError(`"${path}" is a folder; expected: a module in it`);
  const start = startOf(await load(path, file));
  if (typeof start === 'function') return start as AgentModule;
  const exported = start === undefined ? 'no default export' : `a default export that is no function (${typeof start})`;
  throw new MisuseError(`${path} has ${exported}; expected: export default async (host) => { await host.start(…); }`);
}

/** Starts what the module describes. Rejects with a {@link MisuseError} when it throws, and when it starts no agent. */
export async function startModule(start: AgentModule, path: string, host: AgentHost): Promise<readonly string[]> {
  try {
    await start(host);
  } catch (error) {
    throw new MisuseError(`${path} could not start its agents: ${told(error)}${placeOf(error, path)}`, {
      cause: error,
    });
  }
  const names = await host.list();
  if (names.length === 0) throw new MisuseError(`${path} has started no agent; expected: await host.start(…)`);
  return names;
}

async function load(path: string, file: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    const isUnknown = (error as { code?: unknown } | undefined)?.code === 'ERR_UNKNOWN_FILE_EXTENSION';
    if (isUnknown && /\.[cm]?tsx?$/.test(path)) throw noTypeScript(path);
    throw new MisuseError(`${path} could not be loaded: ${told(error)}${placeOf(error, file)}`, { cause: error });
  }
}

function noTypeScript(path: string): MisuseError {
  const remedies = `run Node 22.18 or later, or install tsx and set NODE_OPTIONS='--import tsx'`;
  return new MisuseError(`${path} is TypeScript, which Node ${process.versions.node} cannot load: ${remedies}`);
}

/** A CommonJS module that was TypeScript has its default export one level deeper. */
function startOf(module: unknown): unknown {
  const outer = defaultOf(module);
  return typeof outer === 'function' ? outer : (defaultOf(outer) ?? outer);
}

function defaultOf(module: unknown): unknown {
  return typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined;
}

/** Where it happened; what Node and this program do is left out, and of an error of ours all that we do. */
function placeOf(error: unknown, file: string): string {
  const { stack = '', message } = error instanceof Error ? error : { message: '' };
  const isWorthIt = (line: string) =>
    isAgentFlowError(error) ? line.includes(file) : !/\(?node:/.test(line) && !line.includes(ownFolder);
  const calls = stack.split('\n').filter((line) => /^\s+at /.test(line) && isWorthIt(line));
  // Of a syntax error the place stands before the message.
  const before = stack
    .slice(0, Math.max(0, stack.indexOf(message)))
    .split('\n')
    .slice(0, -1);
  return [...before, ...calls.slice(0, 3)].map((line) => `\n  ${line.trimEnd()}`).join('');
}
