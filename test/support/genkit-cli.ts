/**
 * Runs the REAL genkit-cli (offline) against an app and speaks to it as the Dev UI does: over the tools API, with the
 * app behind reflection v2, the only one that streams inputs.
 *
 *     await using cli = await startGenkitCli({ command: ['node', '--import', 'tsx', '/absolute/app.ts'] });
 *     const run = await cli.streamBidi('/flow/chat', { greeting: 'hi' });
 *     await run.send('one');
 *     expect(await run.next()).toBe('hi one');
 *     await run.end();
 *     expect(await run.result).toEqual(…);
 *     expect((await cli.trace(run.traceId)).root.children.map((span) => span.name)).toEqual(['turn-1']);
 */

import { type BidiRun, openBidiRun, runError } from './genkit-bidi-run.js';
import {
  type CliProcess,
  createSandbox,
  endProcesses,
  Fatal,
  freeUiPort,
  oneStartAtATime,
  poll,
  type Sandbox,
  spawnCli,
} from './genkit-sandbox.js';
import { buildTrace, isComplete, type Trace, type TraceData } from './genkit-trace.js';

export type { BidiRun } from './genkit-bidi-run.js';
export { GenkitCliError } from './genkit-bidi-run.js';
export type { Trace, TraceSpan } from './genkit-trace.js';

/** What to run, and when it counts as started. */
export interface GenkitCliOptions {
  /** The app and its arguments; file names absolute, since the working directory is a temporary one. */
  readonly command: readonly string[];
  /** Added to the environment of the CLI, and so of the app. */
  readonly env?: NodeJS.ProcessEnv;
  /** An action key to wait for, for an app that connects before it has defined all (say, with a top-level await). */
  readonly waitFor?: string;
  /** How long the start may take; 60 s by default. */
  readonly startMs?: number;
}

/** An action as the Dev UI lists it. */
export interface ListedAction {
  readonly key: string;
  readonly name: string;
  readonly description?: string;
  readonly inputSchema?: Record<string, unknown>;
  readonly outputSchema?: Record<string, unknown>;
  readonly metadata?: Record<string, unknown>;
}

/** A running `genkit start`. */
export interface GenkitCli extends AsyncDisposable {
  /** Of the tools API. */
  readonly url: string;
  /** All actions, by key. */
  listActions(): Promise<Record<string, ListedAction>>;
  /** One input, one result: the "Run" button. */
  runAction(key: string, input?: unknown, init?: unknown): Promise<{ result: unknown; traceId: string | undefined }>;
  /** Opens a bidi run; inputs and chunks flow until `end()` or `cancel()`. */
  streamBidi(key: string, init?: unknown): Promise<BidiRun>;
  /** Aborts a run, by its trace id. */
  cancel(traceId: string): Promise<void>;
  /** Reads a trace back as soon as its root and all spans have ended, and `ready` (when given) agrees. */
  trace(traceId: string, ready?: (trace: Trace) => boolean): Promise<Trace>;
  /** All that the CLI and the app have printed. */
  output(): string;
  /** The pid of the app. */
  appPid(): Promise<number | undefined>;
  /** Ends the app and the CLI, waits until no process of theirs is left, and removes the temporary folders. */
  stop(): Promise<void>;
}

/** Starts the app under `genkit start` and resolves when the CLI has its runtime. Call `stop()`, whatever happens. */
export async function startGenkitCli(options: GenkitCliOptions): Promise<GenkitCli> {
  return oneStartAtATime(async () => {
    const sandbox = createSandbox();
    const port = await freeUiPort();
    const args = ['start', '-p', String(port), '--experimental-reflection-v2', '--', ...options.command];
    const process = spawnCli(sandbox, args, options.env);
    const cli = new RunningCli(sandbox, process, `http://127.0.0.1:${port}`);
    try {
      await cli.started(options.startMs ?? 60_000, options.waitFor);
      return cli;
    } catch (error) {
      await cli.stop();
      throw error;
    }
  });
}

class RunningCli implements GenkitCli {
  readonly url: string;
  readonly #sandbox: Sandbox;
  readonly #process: CliProcess;
  #stopped: Promise<void> | undefined;

  constructor(sandbox: Sandbox, process: CliProcess, url: string) {
    this.#sandbox = sandbox;
    this.#process = process;
    this.url = url;
  }

  async started(deadlineMs: number, key: string | undefined): Promise<void> {
    const runtime = async () => {
      if (this.#process.hasExited()) throw new Fatal(`genkit start ended early:\n${this.output()}`);
      if ((await this.appPid()) === undefined) return undefined;
      return key === undefined || key in (await this.listActions()) || undefined;
    };
    await poll('genkit start has a runtime', deadlineMs, runtime).catch((error: unknown) => {
      if (error instanceof Fatal) throw error;
      throw new Error(`genkit start has no runtime${key ? ` with ${key}` : ''}:\n${this.output()}`, { cause: error });
    });
  }

  listActions(): Promise<Record<string, ListedAction>> {
    return this.#query('listActions') as Promise<Record<string, ListedAction>>;
  }

  async runAction(key: string, input?: unknown, init?: unknown) {
    const response = await this.#post('runAction', { key, input, init });
    const body = (await response.json()) as { result?: unknown; error?: unknown; telemetry?: { traceId?: string } };
    if ('error' in body || !response.ok) throw runError(body.error);
    return { result: body.result, traceId: body.telemetry?.traceId };
  }

  streamBidi(key: string, init?: unknown): Promise<BidiRun> {
    return openBidiRun((route, body) => this.#post(route, body), key, init);
  }

  async cancel(traceId: string): Promise<void> {
    const response = await this.#post('cancelAction', { traceId });
    if (!response.ok) throw new Error(`cancelAction: ${response.status} ${await response.text()}`);
  }

  trace(traceId: string, ready: (trace: Trace) => boolean = () => true): Promise<Trace> {
    return poll(`trace ${traceId} has ended`, 30_000, async () => {
      const data = (await this.#query('getTrace', { traceId })) as TraceData | undefined;
      if (data === undefined || !isComplete(data)) return undefined;
      const trace = buildTrace(data);
      return ready(trace) ? trace : undefined;
    });
  }

  output(): string {
    return this.#process.output();
  }

  async appPid(): Promise<number | undefined> {
    const runtime = (await this.#query('getCurrentRuntime')) as { pid?: number };
    return runtime.pid;
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      const pid = await this.appPid().catch(() => undefined);
      await endProcesses(this.#process, pid).finally(() => this.#sandbox.remove());
    })();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #query(procedure: string, input?: unknown): Promise<unknown> {
    const search = input === undefined ? '' : `?input=${encodeURIComponent(JSON.stringify(input))}`;
    const response = await fetch(`${this.url}/api/${procedure}${search}`);
    const body = (await response.json()) as { result?: { data?: unknown }; error?: { message?: string } };
    if (body.error !== undefined) throw new Error(`${procedure}: ${body.error.message}`);
    return body.result?.data;
  }

  #post(route: string, body: unknown): Promise<Response> {
    return fetch(`${this.url}/api/${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }
}

/**
 * `genkit flow:run <name> '<json>' -s -- <command>`: starts the app, runs the flow once, ends both. Answers what the CLI
 * printed on stdout: a line of JSON per chunk, then `Result:` and the result. There is no way to hand over an init.
 */
export async function flowRun(name: string, json: string, options: GenkitCliOptions): Promise<string> {
  return oneStartAtATime(async () => {
    const sandbox = createSandbox();
    const process = spawnCli(sandbox, ['flow:run', name, json, '-s', '--', ...options.command], options.env);
    const deadline = setTimeout(() => process.kill('SIGKILL', 'group'), options.startMs ?? 60_000);
    try {
      const { code } = await process.closed;
      // The CLI exits with 0 even when the flow failed.
      if (code !== 0 || process.output().includes('Command exited with an Error')) {
        throw new Error(`genkit flow:run ended with ${code}:\n${process.output()}`);
      }
      return process.stdout();
    } finally {
      clearTimeout(deadline);
      await endProcesses(process, undefined).finally(() => sandbox.remove());
    }
  });
}
