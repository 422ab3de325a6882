/**
 * Claude Code as a backend: one process of the `claude` CLI for each turn, resumed by its session id.
 *
 * Sources: gen_agent_claude over claude_wrapper (arguments, translation), and `claude` 2.1 itself.
 */
import { InvalidValueError } from '../errors.js';
import type { Backend, BackendSessionOptions, Prompt } from './backend.js';
import { type ClaudeCliFlags, checkClaudeFlags, claudeArguments } from './claude-cli/argv.js';
import { ClaudeMessages } from './claude-cli/messages.js';
import { type CliLimits, checkCliLimits } from './cli-process.js';
import { type CliSession, cliEnvironment, cliTurn, needsStdin } from './cli-turn.js';
import { promptText } from './prompt-text.js';
import type { TelemetryOptions } from './telemetry.js';

export type { ClaudeCliFlags, ClaudePermissionMode } from './claude-cli/argv.js';

/** A session of {@link claudeCliBackend}. */
export interface ClaudeCliSession extends CliSession {}

/** Options of {@link claudeCliBackend}: the CLI's own flags, how it is run, and how long it may take. */
export interface ClaudeCliOptions extends ClaudeCliFlags {
  /** The CLI, by name or path. @default 'claude' */
  readonly command?: string;
  /** Arguments before all others: for a CLI that is run by another program. @default none */
  readonly commandArguments?: readonly string[];
  /** Where it works. @default this process's folder */
  readonly cwd?: string;
  /**
   * Added to its environment; `undefined` takes a variable away. Beside it the CLI gets what any program needs (PATH, HOME,
   * the locale, proxies) and the variables named ANTHROPIC_… and CLAUDE_…, and nothing else of this process's environment.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Flags that have no option here, as they are. @default none */
  readonly extraArguments?: readonly string[];
  /** Only `content` is heeded: what tools are given and answer is written on their spans. */
  readonly telemetry?: TelemetryOptions;
  /** How long its process may take, and how much it may say. */
  readonly limits?: CliLimits;
}

const vendorVariables = /^(ANTHROPIC_|CLAUDE_)/;
const name = 'claude-cli';

/**
 * Drives Claude Code. Each turn is one process, which is gone with its whole process group when the turn ends, and within a
 * second when it is cancelled. `messages` of a new session are ignored: the CLI keeps the conversation. A session's `system`
 * is appended to Claude Code's own system prompt.
 *
 * A turn that failed or was cancelled is no part of the session, as far as the CLI allows: it writes down what it was asked.
 *
 * Throws `INVALID_VALUE` for unknown options; `resumeSession` for an id that would be a flag.
 */
export function claudeCliBackend(options: ClaudeCliOptions = {}): Backend<ClaudeCliSession> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): ClaudeCliSession;
} {
  const {
    command = 'claude',
    commandArguments = [],
    cwd,
    env,
    extraArguments = [],
    limits = {},
    telemetry,
    ...flags
  } = options;
  checkClaudeFlags(flags);
  checkCliLimits(limits);

  const open = (id: string | undefined, sessionOptions: BackendSessionOptions): ClaudeCliSession => ({
    id,
    options: sessionOptions,
    ending: new AbortController(),
  });

  return {
    name,
    startSession: (sessionOptions = {}) => open(undefined, sessionOptions),
    resumeSession(sessionId, sessionOptions = {}) {
      // It is an argument, and what comes after it as a flag would be one.
      if (sessionId.startsWith('-')) throw noId(sessionId);
      return open(sessionId, sessionOptions);
    },
    prompt(session: ClaudeCliSession, prompt: Prompt, { signal }) {
      const text = promptText(prompt);
      const isPiped = needsStdin(text);
      const messages = new ClaudeMessages(name);
      const turn = {
        flags,
        extra: extraArguments,
        system: session.options.system,
        resume: session.id,
        prompt: isPiped ? undefined : text,
      };
      const events = cliTurn({
        provider: name,
        command: {
          command,
          args: [...commandArguments, ...claudeArguments(turn)],
          env: cliEnvironment(vendorVariables, env),
          ...(cwd === undefined ? {} : { cwd }),
          ...(isPiped ? { stdin: text } : {}),
        },
        limits,
        session,
        signal,
        telemetry,
        translate: (message) => messages.read(message),
      });
      return { session, events };
    },
    updateSession: (session, { sessionId }) => ({ ...session, id: sessionId ?? session.id }),
    terminateSession: ({ ending }) => ending.abort(),
  };
}

function noId(received: string): InvalidValueError {
  return new InvalidValueError('input', [{ path: 'sessionId', expected: 'an id that is no flag', received }]);
}
