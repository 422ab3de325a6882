/** The command line of Claude Code, from options to arguments. Every flag is one of `claude --help`, version 2.1. */

import { InvalidValueError } from '../../errors.js';
import { systemText } from '../conversation.js';

/** How Claude Code asks for permission before it uses a tool. */
export type ClaudePermissionMode = (typeof permissionModes)[number];

const permissionModes = ['default', 'acceptEdits', 'bypassPermissions', 'dontAsk', 'plan', 'auto'] as const;

/** What of Claude Code's command line can be set. What is absent is Claude Code's own default. */
export interface ClaudeCliFlags {
  /** An alias, such as `sonnet`, or a full name. */
  readonly model?: string;
  /** Takes over when the model is overloaded. */
  readonly fallbackModel?: string;
  /** Takes the place of Claude Code's own system prompt. */
  readonly systemPrompt?: string;
  /** Follows the system prompt; a session's own `system` comes after it. */
  readonly appendSystemPrompt?: string;
  /** Nobody is there to be asked: what needs a permission is denied. Another mode throws `INVALID_VALUE`. */
  readonly permissionMode?: ClaudePermissionMode;
  /** Every tool runs without a permission: only where it can do no harm. */
  readonly dangerouslySkipPermissions?: boolean;
  /** Tools that need no permission: `Bash(git *)`, `Edit`. */
  readonly allowedTools?: readonly string[];
  /** Tools it may not use, written like `allowedTools`. */
  readonly disallowedTools?: readonly string[];
  /** The built-in tools there are at all. */
  readonly tools?: readonly string[];
  /** MCP servers: files or JSON. */
  readonly mcpConfig?: readonly string[];
  /** No MCP servers but those of `mcpConfig`. */
  readonly strictMcpConfig?: boolean;
  /** More folders it may work in. */
  readonly addDir?: readonly string[];
  /** How hard the model thinks, as the CLI names it: `low`, `high`. */
  readonly effort?: string;
  /** Model turns in one turn; beyond it the turn fails with the kind `limit`. */
  readonly maxTurns?: number;
  /** In US dollars, for one turn; beyond it the turn fails with the kind `limit`. */
  readonly maxBudgetUsd?: number;
  /** The answer is JSON of this schema; it is the result's `data.structured_output`. */
  readonly jsonSchema?: Readonly<Record<string, unknown>>;
  /** The agent the session is run as, by name: one of `agents`, or one that is set up where it works. */
  readonly agent?: string;
  /** Agents of this session's own, by name: `{ reviewer: { description, prompt } }`. */
  readonly agents?: Readonly<Record<string, unknown>>;
  /** More settings: a file, or JSON. */
  readonly settings?: string;
  /** Whose settings are read. */
  readonly settingSources?: readonly ('user' | 'project' | 'local')[];
  /** Folders to load plugins from, for this session. */
  readonly pluginDir?: readonly string[];
  /** Values of the `anthropic-beta` header; for those who log in with an API key. */
  readonly betas?: readonly string[];
  /** Files of Anthropic's Files API that are to be there, as `file_abc:doc.txt`. */
  readonly file?: readonly string[];
  /** Each turn works in a Git worktree: of this name, or with `true` in one of its own. */
  readonly worktree?: string | true;
  /** Text arrives piece by piece; else message by message. @default true */
  readonly includePartialMessages?: boolean;
  /** Nothing is written down, so that later turns know nothing of this one. */
  readonly noSessionPersistence?: boolean;
  /** Each turn goes on in a copy of the session, with an id of its own. */
  readonly forkSession?: boolean;
  /** Skips hooks, plugins, memory and CLAUDE.md. */
  readonly bare?: boolean;
  /** Leaves out all that the user or the project has added to Claude Code. */
  readonly safeMode?: boolean;
}

type FlagName = keyof ClaudeCliFlags;

/** `once` takes one value, `list` one value of comma-separated items, `each` is repeated, `json` is one value. */
const flags: Readonly<Record<FlagName, readonly [flag: string, kind: 'once' | 'list' | 'each' | 'switch' | 'json']>> = {
  model: ['--model', 'once'],
  fallbackModel: ['--fallback-model', 'once'],
  systemPrompt: ['--system-prompt', 'once'],
  appendSystemPrompt: ['--append-system-prompt', 'once'],
  permissionMode: ['--permission-mode', 'once'],
  dangerouslySkipPermissions: ['--dangerously-skip-permissions', 'switch'],
  allowedTools: ['--allowed-tools', 'list'],
  disallowedTools: ['--disallowed-tools', 'list'],
  tools: ['--tools', 'list'],
  mcpConfig: ['--mcp-config', 'each'],
  strictMcpConfig: ['--strict-mcp-config', 'switch'],
  addDir: ['--add-dir', 'each'],
  effort: ['--effort', 'once'],
  maxTurns: ['--max-turns', 'once'],
  maxBudgetUsd: ['--max-budget-usd', 'once'],
  jsonSchema: ['--json-schema', 'json'],
  agent: ['--agent', 'once'],
  agents: ['--agents', 'json'],
  settings: ['--settings', 'once'],
  settingSources: ['--setting-sources', 'list'],
  pluginDir: ['--plugin-dir', 'each'],
  betas: ['--betas', 'each'],
  file: ['--file', 'each'],
  worktree: ['--worktree', 'once'],
  includePartialMessages: ['--include-partial-messages', 'switch'],
  noSessionPersistence: ['--no-session-persistence', 'switch'],
  forkSession: ['--fork-session', 'switch'],
  bare: ['--bare', 'switch'],
  safeMode: ['--safe-mode', 'switch'],
};

/** One turn. */
export interface ClaudeTurnArguments {
  readonly flags: ClaudeCliFlags;
  /** Arguments as they are, for flags that have no option here. */
  readonly extra: readonly string[];
  readonly system: string | undefined;
  readonly resume: string | undefined;
  /** Absent when it goes through standard input. */
  readonly prompt: string | undefined;
}

/** The arguments of one turn; the prompt is last, behind `--`, so that it is never taken for a flag. */
export function claudeArguments({ flags: given, extra, system, resume, prompt }: ClaudeTurnArguments): string[] {
  const appended = systemText(given.appendSystemPrompt, system);
  const all: ClaudeCliFlags = {
    includePartialMessages: true,
    ...given,
    ...(appended === undefined ? {} : { appendSystemPrompt: appended }),
  };
  return [
    '--verbose',
    '--print',
    '--output-format',
    'stream-json',
    ...(Object.keys(flags) as FlagName[]).flatMap((name) => flagArguments(name, all[name])),
    ...extra,
    ...(resume === undefined ? [] : ['--resume', resume]),
    ...(prompt === undefined ? [] : ['--', prompt]),
  ];
}

/** Throws `INVALID_VALUE` for an option there is none of, and for a permission mode there is none of. */
export function checkClaudeFlags(given: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(flags, name));
  const issues = unknown.map((path) => ({
    path,
    expected: 'an option of claudeCliBackend',
    received: 'no such option',
  }));
  const { permissionMode } = given;
  if (permissionMode !== undefined && !permissionModes.some((mode) => mode === permissionMode)) {
    issues.push({ path: 'permissionMode', expected: permissionModes.join(' | '), received: String(permissionMode) });
  }
  if (issues.length > 0) throw new InvalidValueError('option', issues);
}

function flagArguments(name: FlagName, value: unknown): string[] {
  const [flag, kind] = flags[name];
  if (value === undefined || value === false) return [];
  if (kind === 'switch' || value === true) return [flag];
  if (kind === 'json') return [flag, JSON.stringify(value)];
  if (!Array.isArray(value)) return [flag, String(value)];
  // An empty list says something (`--tools ""` is no tools at all) only where one value holds it.
  return kind === 'list' ? [flag, value.join(',')] : value.flatMap((item) => [flag, String(item)]);
}
