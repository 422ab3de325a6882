/** The command line of Codex, from options to arguments. Every flag is one of `codex exec --help`, version 0.169. */
import { InvalidValueError } from '../../errors.js';

/** What the commands Codex runs may touch. */
export type CodexSandbox = (typeof sandboxes)[number];

/** When Codex asks before it runs a command; nobody is there to be asked, so all but `never` make it refuse. */
export type CodexApprovalPolicy = (typeof approvalPolicies)[number];

const sandboxes = ['read-only', 'workspace-write', 'danger-full-access'] as const;
const approvalPolicies = ['untrusted', 'on-failure', 'on-request', 'never'] as const;

/** A value of Codex's configuration. */
export type CodexConfigValue =
  | string
  | number
  | boolean
  | readonly CodexConfigValue[]
  | { readonly [key: string]: CodexConfigValue };

/** What of Codex's command line can be set. What is absent is Codex's own default. */
export interface CodexCliFlags {
  readonly model?: string;
  /** Holds for every turn, resumed ones too; one there is none of throws `INVALID_VALUE`. */
  readonly sandbox?: CodexSandbox;
  /** One there is none of throws `INVALID_VALUE`. */
  readonly approvalPolicy?: CodexApprovalPolicy;
  /** Runs every command, unasked and without a sandbox: only where it can do no harm. */
  readonly dangerouslyBypassApprovalsAndSandbox?: boolean;
  /** More folders it may write to. */
  readonly addDir?: readonly string[];
  /** Works outside a Git repository too. */
  readonly skipGitRepoCheck?: boolean;
  /** Settings over those of `config.toml`, by dotted path: `model_reasoning_effort`, `model_providers.mine`. */
  readonly config?: Readonly<Record<string, CodexConfigValue>>;
  /** Features to switch on, by name. */
  readonly enable?: readonly string[];
  /** Features to switch off, by name. */
  readonly disable?: readonly string[];
  /** A file with the JSON Schema of the answer. */
  readonly outputSchema?: string;
  /** Nothing is written down, so that a session has one turn only. */
  readonly ephemeral?: boolean;
  /** Leaves the user's `config.toml` unread. */
  readonly ignoreUserConfig?: boolean;
  /** Leaves rules about commands unread, the user's and the project's. */
  readonly ignoreRules?: boolean;
}

type FlagName = keyof CodexCliFlags;

/** `config`, `sandbox`, `approvalPolicy` and `addDir` are written by hand below. */
const flags: Readonly<Record<FlagName, readonly [flag: string, kind: 'value' | 'each' | 'switch'] | 'own'>> = {
  model: ['--model', 'value'],
  sandbox: 'own',
  approvalPolicy: 'own',
  dangerouslyBypassApprovalsAndSandbox: ['--dangerously-bypass-approvals-and-sandbox', 'switch'],
  addDir: 'own',
  skipGitRepoCheck: ['--skip-git-repo-check', 'switch'],
  config: 'own',
  enable: ['--enable', 'each'],
  disable: ['--disable', 'each'],
  outputSchema: ['--output-schema', 'value'],
  ephemeral: ['--ephemeral', 'switch'],
  ignoreUserConfig: ['--ignore-user-config', 'switch'],
  ignoreRules: ['--ignore-rules', 'switch'],
};

/** One turn. */
export interface CodexTurnArguments {
  readonly flags: CodexCliFlags;
  /** Arguments as they are, for flags that have no option here and that `exec` and `exec resume` both know. */
  readonly extra: readonly string[];
  readonly system: string | undefined;
  readonly resume: string | undefined;
  /** Absent when it goes through standard input. */
  readonly prompt: string | undefined;
}

/**
 * The arguments of one turn; id and prompt are last, behind `--`. `exec resume` knows fewer flags than `exec`: sandbox and
 * writable folders are settings there.
 */
export function codexArguments({ flags: given, extra, system, resume, prompt }: CodexTurnArguments): string[] {
  const { sandbox, approvalPolicy, addDir = [], config = {} } = given;
  const isResumed = resume !== undefined;
  const settings: Record<string, CodexConfigValue> = {
    ...config,
    ...(isResumed && sandbox !== undefined ? { sandbox_mode: sandbox } : {}),
    ...(isResumed && addDir.length > 0 ? { 'sandbox_workspace_write.writable_roots': addDir } : {}),
    ...(approvalPolicy === undefined ? {} : { approval_policy: approvalPolicy }),
    ...(system === undefined || system === '' ? {} : { developer_instructions: system }),
  };
  return [
    'exec',
    ...(isResumed ? ['resume'] : []),
    ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${toml(value)}`]),
    ...(Object.keys(flags) as FlagName[]).flatMap((name) => flagArguments(name, given[name])),
    ...(isResumed || sandbox === undefined ? [] : ['--sandbox', sandbox]),
    ...(isResumed ? [] : addDir.flatMap((folder) => ['--add-dir', folder])),
    ...extra,
    '--json',
    '--',
    ...(isResumed ? [resume] : []),
    prompt ?? '-',
  ];
}

/** Throws `INVALID_VALUE` for an option there is none of, and for a sandbox or policy there is none of. */
export function checkCodexFlags(given: Readonly<Record<string, unknown>>): void {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(flags, name));
  const issues = unknown.map((path) => ({
    path,
    expected: 'an option of codexCliBackend',
    received: 'no such option',
  }));
  const oneOf = (path: string, known: readonly string[]) => {
    const value = given[path];
    if (value === undefined || known.some((word) => word === value)) return;
    issues.push({ path, expected: known.join(' | '), received: String(value) });
  };
  oneOf('sandbox', sandboxes);
  oneOf('approvalPolicy', approvalPolicies);
  if (issues.length > 0) throw new InvalidValueError('option', issues);
}

function flagArguments(name: FlagName, value: unknown): string[] {
  const how = flags[name];
  if (how === 'own' || value === undefined || value === false) return [];
  const [flag, kind] = how;
  if (kind === 'switch') return [flag];
  return Array.isArray(value) ? value.flatMap((item) => [flag, String(item)]) : [flag, String(value)];
}

/** JSON's strings, numbers and lists are TOML's; a table is written inline. */
function toml(value: CodexConfigValue): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  if (isList(value)) return `[${value.map(toml).join(', ')}]`;
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)} = ${toml(item)}`)
    .join(', ')}}`;
}

function isList(value: CodexConfigValue): value is readonly CodexConfigValue[] {
  return Array.isArray(value);
}
