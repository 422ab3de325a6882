/** Everything that can be typed, as one table, and what is done with a line. */
import { ask, asking } from './commands/asking.js';
import type { Command } from './commands/command.js';
import { looking } from './commands/looking.js';
import { steering } from './commands/steering.js';
import type { Desk } from './desk.js';
import { firstWord } from './line.js';
import { MisuseError } from './misuse.js';
import { pairs } from './table.js';
import { oneLine } from './text.js';

const leaving: Readonly<Record<string, Command>> = {
  help: {
    usage: 'help [COMMAND]',
    says: 'this list, or what a command does',
    async run({ screen }, rest) {
      const name = firstWord(rest)?.word;
      if (name === undefined) return screen.print(helpLines(screen.width));
      const { usage, says, more } = commandNamed(name);
      await screen.print([usage, `  ${says}`, ...(more === undefined ? [] : [`  ${more}`])]);
    },
  },
  quit: {
    usage: 'quit',
    says: 'let the turns in flight end, and leave',
    run: ({ screen }) => screen.close(),
  },
};

/** Every command, by what is typed for it. */
export const commands: Readonly<Record<string, Command>> = { ...asking, ...looking, ...steering, ...leaving };

/** What `help` says. */
export function helpLines(width: number): string[] {
  const rows = Object.values(commands).map(({ usage, says }) => [usage, says] as const);
  return [
    ...pairs(rows, width),
    'A NAME with spaces stands in quotes. A line that begins with # is passed over.',
    'Ctrl-C interrupts an answer or clears the line; else, or twice, it leaves.',
  ];
}

/**
 * Does what a line says. Plain text is asked of the agent that `use` has chosen; a slash before a command is allowed.
 * Rejects with whatever goes wrong: a {@link MisuseError} for what is no command.
 */
export async function obey(desk: Desk, line: string): Promise<void> {
  const first = firstWord(line);
  if (first === undefined || first.word.startsWith('#')) return;
  const { word, rest } = first;
  if (Object.hasOwn(commands, word)) await commandNamed(word).run(desk, rest);
  else if (word.startsWith('/')) await commandNamed(word.slice(1)).run(desk, rest);
  else if (desk.chosen !== undefined) await ask(desk, desk.chosen, line.trim());
  else
    throw new MisuseError(
      `There is no command "${oneLine(word)}"; "help" lists them, "use NAME" lets text ask an agent`,
    );
}

function commandNamed(name: string): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new MisuseError(`There is no command "${oneLine(name)}"; "help" lists them`);
  return command;
}
