/** What can be said on the command line. */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** What can be said, and where sessions are kept otherwise. */
export const usage = (env: NodeJS.ProcessEnv): string => `Usage: npm start -- [--session ID] [--data DIR]

  --session ID   go on with this session; a new id begins one
  --data DIR     where the sessions are kept, instead of ${defaultFolder(env)}
  -h, --help     this text

With GEMINI_API_KEY in the environment you talk to Gemini, without it to a small offline model.`;

export interface Options {
  /** The session to begin with. */
  readonly session: string | undefined;
  /** The folder that holds the sessions. */
  readonly data: string;
  /** Only the usage is wanted. */
  readonly help: boolean;
  /** What somebody types to come back to a session. */
  comeBack(sessionId: string): string;
}

/** Reads the command line. Throws a `TypeError` that says what is wrong with it, and what would be right. */
export function readOptions(args: string[], env: NodeJS.ProcessEnv): Options {
  try {
    return optionsIn(args, env);
  } catch (error) {
    throw new TypeError(`${error instanceof Error ? error.message : error}\n\n${usage(env)}`, { cause: error });
  }
}

function optionsIn(args: string[], env: NodeJS.ProcessEnv): Options {
  const { values } = parseArgs({
    args,
    options: {
      session: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  for (const name of ['session', 'data'] as const) {
    if (values[name] === '') throw new TypeError(`Option '--${name}' must not be empty`);
  }
  const again = values.data === undefined ? '' : ` --data ${quoted(values.data)}`;
  return {
    session: values.session,
    data: resolve(values.data ?? defaultFolder(env)),
    help: values.help,
    comeBack: (sessionId) => `npm start --${again} --session ${quoted(sessionId)}`,
  };
}

/** The folder the XDG base directory specification wants; it says that a relative `XDG_STATE_HOME` is to be ignored. */
function defaultFolder({ XDG_STATE_HOME = '' }: NodeJS.ProcessEnv): string {
  return join(isAbsolute(XDG_STATE_HOME) ? XDG_STATE_HOME : join(homedir(), '.local', 'state'), 'genkitx-agent');
}

/** As a shell reads it back. */
function quoted(word: string): string {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
