/** A child process that leads a process group of its own and speaks lines. Whatever it starts ends with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { assertKnownOptions, InvalidValueError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';
import { forgetGroup, isRemembered, rememberGroup, signalGroup } from './process-groups.js';

/** What is run. */
export interface CliCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** All of its environment; nothing is inherited beside it. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Written to its standard input, which is then closed. Without it the input is closed from the start. */
  readonly stdin?: string;
}

/** How long and how much. */
export interface CliLimits {
  /** Ends the process when it has said nothing for so long, in milliseconds. @default 300_000 */
  readonly idleTimeoutMs?: number;
  /** How long it may take to exit after it has told its result, or closed its output, in milliseconds. @default 5_000 */
  readonly exitGraceMs?: number;
  /** From asking the group to end (SIGTERM) to ending it (SIGKILL), in milliseconds. @default 500 */
  readonly killAfterMs?: number;
  /** Longer lines are skipped, in UTF-16 units. @default 16_777_216 */
  readonly maxLineLength?: number;
  /** The end of its standard error that is kept for the error, in UTF-16 units. @default 16_384 */
  readonly maxStderrLength?: number;
  /** @default the machine's */
  readonly clock?: Clock;
}

const cliLimits = {
  idleTimeoutMs: true,
  exitGraceMs: true,
  killAfterMs: true,
  maxLineLength: true,
  maxStderrLength: true,
  clock: true,
};

/** Throws `INVALID_VALUE` for limits that are no numbers from 0, and for those there are none of. */
export function checkCliLimits(limits: CliLimits): void {
  assertKnownOptions(limits, cliLimits, 'limits');
  const { clock: _, ...bounds } = limits;
  for (const [name, bound] of Object.entries(bounds)) {
    if (bound === undefined || (typeof bound === 'number' && bound >= 0)) continue;
    throw new InvalidValueError('option', [
      { path: `limits.${name}`, expected: 'a number from 0', received: String(bound) },
    ]);
  }
}

/** How it ended. */
export interface CliExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it never started. */
  readonly error?: unknown;
}

/** How often a group that was asked to end is looked at, in milliseconds. */
const lookEveryMs = 20;

/** How long the output of a group that is gone may stay open, in milliseconds: a process that has left the group holds it. */
const pipeGraceMs = 250;

/**
 * A process group. It is gone within `killAfterMs` and a moment of {@link CliProcess.stop}, descendants that ignore SIGTERM
 * included, unless they have left the group. On Windows, which has no groups, only the process itself is ended.
 */
export class CliProcess {
  /** Resolves when the process has exited and nothing of its group is left. */
  readonly ended: Promise<void>;
  /** Resolves when {@link CliProcess.stderr} is read to its end, or what is left of it is not waited for any more. */
  readonly explained: Promise<void>;
  readonly #child: ChildProcess | undefined;
  readonly #clock: Clock;
  readonly #limits: Required<Omit<CliLimits, 'clock'>>;
  readonly #ended = new Deferred<void>();
  readonly #explained = new Deferred<void>();
  #exit: CliExit | undefined;
  #killAt: number | undefined;
  #stderr = '';
  #skipped = 0;
  #isIdle = false;
  #hasEnded = false;
  #isReading = false;
  #cancelPipeGrace = () => {};

  constructor({ command, args, env, cwd, stdin }: CliCommand, limits: CliLimits = {}) {
    const { clock = systemClock, idleTimeoutMs = 300_000, exitGraceMs = 5_000, killAfterMs = 500 } = limits;
    const { maxLineLength = 2 ** 24, maxStderrLength = 2 ** 14 } = limits;
    this.#clock = clock;
    this.#limits = { idleTimeoutMs, exitGraceMs, killAfterMs, maxLineLength, maxStderrLength };
    this.ended = this.#ended.promise;
    this.explained = this.#explained.promise;
    try {
      const stdio = [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] as const;
      this.#child = spawn(command, args, { env, cwd, stdio: [...stdio], detached: true, windowsHide: true });
    } catch (error) {
      // What the system refuses at once: arguments beyond its limits, or with a NUL in them.
      this.#onExit({ code: null, signal: null, error });
      return;
    }
    this.#listen(this.#child, stdin);
  }

  /** How it ended; undefined while it runs. */
  get exit(): CliExit | undefined {
    return this.#exit;
  }

  /** The end of what it has written to its standard error. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Lines that were too long to be kept. */
  get skippedLines(): number {
    return this.#skipped;
  }

  /** It was ended because it said nothing for too long. */
  get isIdle(): boolean {
    return this.#isIdle;
  }

  /** What it says, line by line, as fast as it is read; ends when nobody of the group can say any more. */
  async *lines(): AsyncGenerator<string, void> {
    const stdout = this.#child?.stdout;
    if (!stdout) return;
    const chunks = stdout[Symbol.asyncIterator]();
    const splitter = new LineSplitter(this.#limits.maxLineLength);
    for (;;) {
      const chunk = await this.#nextChunk(chunks);
      const lines = chunk === undefined ? splitter.end() : splitter.add(chunk);
      this.#skipped = splitter.skipped;
      yield* lines;
      if (chunk === undefined) break;
    }
    // It can say nothing more, and no silence would end it.
    this.finish();
  }

  /** It has said all that matters: it may take `exitGraceMs` to exit by itself. */
  finish(): void {
    if (this.#exit !== undefined) return;
    const cancel = this.#clock.after(this.#limits.exitGraceMs, () => this.stop());
    this.ended.then(cancel);
  }

  /** Ends the whole group: asks it to, then makes it. */
  stop(): void {
    const pid = this.#child?.pid;
    if (this.#killAt !== undefined || pid === undefined || !isRemembered(pid)) return;
    this.#killAt = this.#clock.now() + this.#limits.killAfterMs;
    this.#signal('SIGTERM');
    this.#watch(pid);
  }

  async #nextChunk(chunks: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
    const cancel = this.#clock.after(this.#limits.idleTimeoutMs, () => {
      this.#isIdle = true;
      this.stop();
    });
    this.#isReading = true;
    if (this.#hasEnded) this.#closePipeSoon();
    try {
      const { value, done } = await chunks.next();
      return done ? undefined : value;
    } catch {
      // The pipe was taken away: there is nothing more to be read.
      return undefined;
    } finally {
      cancel();
      this.#isReading = false;
      this.#cancelPipeGrace();
    }
  }

  #closePipeSoon(): void {
    const close = () => void this.#child?.stdout?.destroy();
    this.#cancelPipeGrace = this.#clock.after(pipeGraceMs, close, { keepAlive: true });
  }

  #listen(child: ChildProcess, stdin: string | undefined): void {
    const { pid } = child;
    if (pid !== undefined) rememberGroup(pid);
    child.stderr?.setEncoding('utf8').on('error', ignore);
    child.stderr?.once('close', () => this.#explained.resolve());
    child.stderr?.on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-this.#limits.maxStderrLength);
    });
    child.stdin?.on('error', ignore).end(stdin);
    // Told again for each signal that may not be sent.
    child.on('error', (error) => {
      if (pid === undefined) this.#onExit({ code: null, signal: null, error });
    });
    child.once('exit', (code, signal) => this.#onExit({ code, signal }));
  }

  #onExit(exit: CliExit): void {
    this.#exit = exit;
    const pid = this.#child?.pid;
    if (pid === undefined) {
      this.#explained.resolve();
      this.#ended.resolve();
    } else if (!isGroupAlive(pid)) this.#end(pid);
    else this.stop();
  }

  /** Looks at a group that was asked to end, until it has or its time is over. */
  #watch(pid: number): void {
    if (!isRemembered(pid)) return;
    const hasExited = this.#exit !== undefined;
    if (hasExited && !isGroupAlive(pid)) {
      this.#end(pid);
      return;
    }
    if (this.#clock.now() < (this.#killAt ?? 0)) {
      this.#clock.after(lookEveryMs, () => this.#watch(pid), { keepAlive: true });
      return;
    }
    this.#signal('SIGKILL');
    if (hasExited) this.#end(pid);
    else this.#child?.once('exit', () => this.#end(pid));
  }

  #end(pid: number): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    forgetGroup(pid);
    if (this.#isReading) this.#closePipeSoon();
    // Nobody waits for the rest of it, and held open it would keep this program alive.
    this.#clock.after(pipeGraceMs, () => void this.#child?.stderr?.destroy());
    this.#ended.resolve();
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid !== undefined && !signalGroup(pid, signal)) this.#child?.kill(signal);
  }
}

/** Text in pieces of any size as lines; only `\n` ends one. */
class LineSplitter {
  readonly #maxLength: number;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #isSkipping = false;
  skipped = 0;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  add(chunk: Buffer): string[] {
    return this.#split(this.#decoder.write(chunk));
  }

  /** The last line, if it was not ended. */
  end(): string[] {
    return this.#split(`${this.#decoder.end()}\n`).filter((line) => line !== '');
  }

  #split(text: string): string[] {
    const [first = '', ...others] = text.split('\n');
    const lines: string[] = [];
    this.#grow(first);
    for (const piece of others) {
      if (!this.#isSkipping) lines.push(this.#rest);
      this.#isSkipping = false;
      this.#rest = '';
      this.#grow(piece);
    }
    return lines;
  }

  #grow(piece: string): void {
    if (this.#isSkipping) return;
    this.#rest += piece;
    if (this.#rest.length <= this.#maxLength) return;
    this.#isSkipping = true;
    this.#rest = '';
    this.skipped += 1;
  }
}

function ignore(): void {}

function isGroupAlive(pid: number): boolean {
  return signalGroup(pid, 0);
}
