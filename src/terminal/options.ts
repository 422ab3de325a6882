/** What can be said on the command line. */
import { parseArgs } from 'node:util';
import { MisuseError } from './misuse.js';
import { narrowestWidth } from './screen.js';

/** What `--help` prints. */
export const usage = `Usage: genkitx-agent [options] [MODULE]

Starts the named agents of a module and lets you talk to them, line by line. At
a terminal there is a prompt; in a pipe the lines come from the standard input.

  MODULE          a JavaScript module, or a TypeScript one where Node can load
                  it; its default export is given the host and starts agents:
                    export default async (host) => {
                      await host.start(behaviour, { name, backend });
                    };
                  Without one you get a few demo agents that work offline.

  --store FILE    remember agents, queues and results in this SQLite file
  --budget USD    what all agents together may spend, in US dollars
  --width N       columns of a line; 0: as many as it takes. Default: the
                  terminal's, 80 elsewhere
  --help, -h      this text
  --version, -v   the version

"help" lists the commands. The exit code is 1 when the agents could not be
started or, in a pipe, when a command failed; 2 when this text was needed.
`;

/** What was said on the command line. */
export interface Options {
  /** The module's path as it was typed; `undefined`: the demo. */
  readonly module: string | undefined;
  /** A SQLite file. */
  readonly store: string | undefined;
  /** US dollars. */
  readonly budget: number | undefined;
  /** Columns; `Infinity`: lines are never broken. */
  readonly width: number | undefined;
  readonly help: boolean;
  readonly version: boolean;
}

/** Reads the command line. Throws a {@link MisuseError} that says what is wrong with it. */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parsed(args);
  const [module, ...others] = positionals;
  if (others.length > 0) throw new MisuseError(`One module is expected, and "${others[0]}" is a second one`);
  if (module === '') throw new MisuseError('The module must not be empty');
  if (values.store === '') throw new MisuseError('--store expects a file');
  return {
    module,
    store: values.store,
    budget: values.budget === undefined ? undefined : amountOf(values.budget),
    width: values.width === undefined ? undefined : widthOf(values.width),
    help: values.help ?? false,
    version: values.version ?? false,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        store: { type: 'string' },
        budget: { type: 'string' },
        width: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    });
  } catch (error) {
    throw new MisuseError(error instanceof Error ? error.message : String(error));
  }
}

function amountOf(text: string): number {
  const amount = Number(text);
  if (text.trim() !== '' && amount >= 0) return amount;
  throw new MisuseError(`--budget expects US dollars, from 0; got "${text}"`);
}

function widthOf(text: string): number {
  const width = Number(text);
  if (text.trim() !== '' && width === 0) return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(width) && width >= narrowestWidth) return width;
  throw new MisuseError(`--width expects 0 or a whole number from ${narrowestWidth}; got "${text}"`);
}
