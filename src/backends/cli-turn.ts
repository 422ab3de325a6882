/** One turn of a CLI: its lines as events, its end as one terminal, its process gone. */
import type { BackendEvent, BackendFailure, BackendSessionOptions } from './backend.js';
import { type CliCommand, type CliLimits, CliProcess } from './cli-process.js';
import { type FailureKind, failure, failureOf } from './failure.js';
import type { TelemetryOptions } from './telemetry.js';
import { ToolSpans } from './tool-spans.js';

/** A message as a CLI tells it: one line, one JSON object. */
export type CliMessage = Readonly<Record<string, unknown>>;

/** A turn to be run. */
export interface CliTurn {
  readonly provider: string;
  readonly command: CliCommand;
  readonly limits: CliLimits;
  readonly session: CliSession;
  /** Ends the turn, as the end of the session does. */
  readonly signal: AbortSignal;
  readonly telemetry: TelemetryOptions | undefined;
  /** What a message says; called in order, and not after a terminal. */
  readonly translate: (message: CliMessage) => Iterable<BackendEvent>;
  /** What the last line on standard error means, for a CLI that tells some causes only there. */
  readonly kindOfStderr?: (line: string) => FailureKind | undefined;
}

/** The part of a CLI session that both CLIs have. */
export interface CliSession {
  /** What it was started with. Only `system` is heeded. */
  readonly options: BackendSessionOptions;
  /** The id to resume by, once a turn has told it. */
  readonly id: string | undefined;
  /** Fires when the session is terminated; shared by all its states. */
  readonly ending: AbortController;
}

/** When the process of a session that was asked to end has done so, by what the session's states share. */
const dying = new WeakMap<AbortController, Promise<void>>();

/**
 * Runs the CLI and tells what it says. It begins when the process of a turn before that was cancelled is gone, for that has
 * written down what it will. The terminal is told when the process is gone: it then has written down what a
 * later turn resumes. Lines that are no JSON are passed over, as are those beyond the bound. A result is honoured whatever
 * the exit code; without one the exit code, the signal and standard error make the failure.
 */
export async function* cliTurn({
  provider,
  command,
  limits,
  session: { ending },
  signal,
  telemetry,
  translate,
  kindOfStderr,
}: CliTurn): AsyncGenerator<BackendEvent> {
  const signals = [signal, ending.signal];
  const cancelled = () => signals.find(({ aborted }) => aborted);
  const cancelledEvent = (fired: AbortSignal): BackendEvent => ({
    type: 'error',
    error: failureOf(fired.reason, { provider, signal: fired }),
  });
  await dying.get(ending);
  const early = cancelled();
  if (early !== undefined) return yield cancelledEvent(early);
  const cli = new CliProcess(command, limits);
  const stop = () => {
    dying.set(ending, cli.ended);
    cli.stop();
  };
  for (const one of signals) one.addEventListener('abort', stop, { once: true });
  const spans = new ToolSpans(provider, telemetry?.content ?? false);
  let terminal: BackendEvent | undefined;
  let strange = 0;
  try {
    for await (const line of cli.lines()) {
      const message = terminal === undefined ? parseLine(line) : undefined;
      if (message === 'strange') strange += 1;
      if (message === undefined || message === 'strange') continue;
      for (const event of translate(message)) {
        spans.hear(event);
        if (event.type !== 'result' && event.type !== 'error') yield event;
        else terminal = event;
        if (terminal !== undefined) break;
      }
      if (terminal !== undefined) cli.finish();
    }
    await cli.ended;
    // Where several end at once, one may be known to have ended before the last it has written is read.
    if (terminal === undefined && cancelled() === undefined) await cli.explained;
    const late = cancelled();
    if (late !== undefined) yield cancelledEvent(late);
    else yield terminal ?? { type: 'error', error: withoutTerminal(provider, cli, strange, kindOfStderr) };
  } finally {
    for (const one of signals) one.removeEventListener('abort', stop);
    spans.end(cancelled() === undefined ? 'no_result' : 'cancelled');
    stop();
    await cli.ended;
  }
}

/** The environment a CLI gets: what any program needs, the vendor's own variables, and what the options say. */
export function cliEnvironment(
  vendor: RegExp,
  added: Readonly<Record<string, string | undefined>> = {},
): Record<string, string> {
  const inherited = Object.entries(process.env).filter(([name]) => everyday.test(name) || vendor.test(name));
  const all = { ...Object.fromEntries(inherited), ...added };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const everyday =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TERM|TMPDIR|TEMP|TMP|XDG_\w+|SSL_CERT_\w+|NODE_EXTRA_CA_CERTS|(HTTPS?|NO|ALL)_PROXY|SYSTEMROOT|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|USERPROFILE)$/i;

/** Linux takes 128 KiB for one argument; with some room, a prompt beyond it goes through standard input. */
const longestArgument = 100_000;

/** Whether a prompt cannot be an argument. */
export function needsStdin(prompt: string): boolean {
  return prompt.includes('\0') || Buffer.byteLength(prompt) > longestArgument;
}

function parseLine(line: string): CliMessage | 'strange' | undefined {
  if (line.trim() === '') return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as CliMessage) : 'strange';
  } catch {
    return 'strange';
  }
}

function withoutTerminal(
  provider: string,
  cli: CliProcess,
  strange: number,
  kindOfStderr: CliTurn['kindOfStderr'],
): BackendFailure {
  const exit = cli.exit ?? { code: null, signal: null };
  const { stderr, skippedLines } = cli;
  const raw = { ...exit, stderr, strangeLines: strange, skippedLines };
  const told = stderr.trim().split('\n').at(-1)?.trim() ?? '';
  const because = told === '' ? '' : `: ${told}`;
  if (exit.error !== undefined) {
    const code = codeOf(exit.error);
    return failure(provider, spawnKinds[code] ?? 'unknown', `The CLI did not start (${code})`, { raw });
  }
  if (cli.isIdle) return failure(provider, 'timeout', 'The CLI said nothing for too long and was ended', { raw });
  if (exit.signal !== null)
    return failure(provider, 'unknown', `The CLI was killed (${exit.signal})${because}`, { raw, retryable: true });
  if (exit.code !== 0) {
    const status = exit.code ?? undefined;
    const facts = { raw, ...(status === undefined ? {} : { status }) };
    const kind = kindOfStderr?.(told) ?? exitKinds[status ?? 0] ?? 'unknown';
    return failure(provider, kind, `The CLI exited with ${status}${because}`, facts);
  }
  return failure(provider, 'protocol', 'The CLI ended without telling a result', { raw, retryable: true });
}

/** What a shell means by its exit codes. */
const exitKinds: Readonly<Record<number, FailureKind>> = { 124: 'timeout', 126: 'permission', 127: 'not_found' };

const spawnKinds: Readonly<Record<string, FailureKind>> = {
  ENOENT: 'not_found',
  ENOTDIR: 'not_found',
  EACCES: 'permission',
  EPERM: 'permission',
  E2BIG: 'invalid_request',
  ERR_INVALID_ARG_VALUE: 'invalid_request',
  EAGAIN: 'overloaded',
  EMFILE: 'overloaded',
  ENFILE: 'overloaded',
  ENOMEM: 'overloaded',
};

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown';
}
