/** CONTRACT: what can be typed. */
import type { Desk } from '../desk.js';
import { firstWord } from '../line.js';
import { MisuseError } from '../misuse.js';

/** One thing that can be typed. */
export interface Command {
  /** The command itself first, then what it takes: words in capitals stand for something, brackets may be left out. */
  readonly usage: string;
  /** What it does, in half a line. */
  readonly says: string;
  /** What else there is to know of it, for `help COMMAND`. */
  readonly more?: string;
  /** @param rest what was typed behind the command. Whatever it throws is told, and the next line is read. */
  run(desk: Desk, rest: string): void | Promise<void>;
}

/** An agent's name and what is meant for it. Throws a {@link MisuseError} where one of them is missing. */
export function agentAndText(rest: string, usage: string): { readonly agent: string; readonly text: string } {
  const first = firstWord(rest);
  if (first === undefined || first.rest === '') throw new MisuseError(`usage: ${usage}`);
  return { agent: first.word, text: first.rest };
}

/** An agent's name; left out, the one that `use` has chosen. Throws a {@link MisuseError} where there is none. */
export function agentIn(desk: Desk, rest: string, usage: string): string {
  const agent = firstWord(rest)?.word ?? desk.chosen;
  if (agent === undefined) throw new MisuseError(`usage: ${usage}`);
  return agent;
}
