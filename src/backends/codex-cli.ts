/**
 * Codex as a backend: one process of `codex exec` for each turn, resumed by its thread id.
 *
 * Sources: gen_agent_codex (arguments, translation, cumulative counters), and `codex` 0.169 itself.
 */
import type { Usage } from '../../schemas/index.js';
import type { Backend, BackendSessionOptions, Prompt } from './backend.js';
import { type CliLimits, checkCliLimits } from './cli-process.js';
import { type CliSession, cliEnvironment, cliTurn, needsStdin } from './cli-turn.js';
import { type CodexCliFlags, checkCodexFlags, codexArguments } from './codex-cli/argv.js';
import { CodexMessages, type CodexResponseText, type CodexResultData } from './codex-cli/messages.js';
import { promptText } from './prompt-text.js';
import type { TelemetryOptions } from './telemetry.js';

export type { CodexApprovalPolicy, CodexCliFlags, CodexConfigValue, CodexSandbox } from './codex-cli/argv.js';
export type { CodexResponseText };

/** A session of {@link codexCliBackend}. */
export interface CodexCliSession extends CliSession {
  /** Where the counters of the thread stand; undefined when that is not known. */
  readonly counted: Usage | undefined;
}

/** Options of {@link codexCliBackend}: the CLI's own flags, how it is run, and how long it may take. */
export interface CodexCliOptions extends CodexCliFlags {
  /** The CLI, by name or path. @default 'codex' */
  readonly command?: string;
  /** Arguments before all others: for a CLI that is run by another program. @default none */
  readonly commandArguments?: readonly string[];
  /** Where it works. @default this process's folder */
  readonly cwd?: string;
  /**
   * Added to its environment; `undefined` takes a variable away. Beside it the CLI gets what any program needs (PATH, HOME,
   * the locale, proxies) and the variables named OPENAI_… and CODEX_…, and nothing else of this process's environment.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Flags that have no option here, as they are. @default none */
  readonly extraArguments?: readonly string[];
  /** Codex speaks in several messages: the last one is the answer, or all are. @default 'final_message' */
  readonly responseText?: CodexResponseText;
  /** Only `content` is heeded: what tools are given and answer is written on their spans. */
  readonly telemetry?: TelemetryOptions;
  /** How long its process may take, and how much it may say. */
  readonly limits?: CliLimits;
}

const vendorVariables = /^(OPENAI_|CODEX_)/;
const name = 'codex-cli';

/**
 * Drives Codex. Each turn is one process, which is gone with its whole process group when the turn ends, and within a
 * second when it is cancelled. `messages` of a new session are ignored: the CLI keeps the conversation. A session's `system`
 * is given as `developer_instructions`. Text arrives message by message, as Codex tells it.
 *
 * Codex counts tokens for the whole thread; a turn's usage is the difference. Of a session that is taken up by its id the
 * first turn tells no usage, because nobody knows where the counters stood.
 *
 * Throws `INVALID_VALUE` for unknown options.
 */
export function codexCliBackend(options: CodexCliOptions = {}): Backend<CodexCliSession> & {
  resumeSession(sessionId: string, options?: BackendSessionOptions): CodexCliSession;
} {
  const { command = 'codex', commandArguments = [], cwd, env, extraArguments = [], ...rest } = options;
  const { responseText = 'final_message', limits = {}, telemetry, ...flags } = rest;
  checkCodexFlags(flags);
  checkCliLimits(limits);

  return {
    name,
    startSession: (sessionOptions = {}) => ({
      id: undefined,
      options: sessionOptions,
      ending: new AbortController(),
      counted: {},
    }),
    resumeSession: (sessionId, sessionOptions = {}) => ({
      id: sessionId,
      options: sessionOptions,
      ending: new AbortController(),
      counted: undefined,
    }),
    prompt(session: CodexCliSession, prompt: Prompt, { signal }) {
      const text = promptText(prompt);
      const isPiped = needsStdin(text);
      const messages = new CodexMessages(name, responseText, session.counted, session.id);
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
          args: [...commandArguments, ...codexArguments(turn)],
          env: cliEnvironment(vendorVariables, env),
          ...(cwd === undefined ? {} : { cwd }),
          ...(isPiped ? { stdin: text } : {}),
        },
        limits,
        session,
        signal,
        telemetry,
        translate: (message) => messages.read(message),
        kindOfStderr: (line) => (line.includes('no rollout found for thread id') ? 'not_found' : undefined),
      });
      return { session, events };
    },
    updateSession(session, { sessionId, data }) {
      const { cumulative } = (data ?? {}) as Partial<CodexResultData>;
      return { ...session, id: sessionId ?? session.id, counted: cumulative ?? session.counted };
    },
    terminateSession: ({ ending }) => ending.abort(),
  };
}
