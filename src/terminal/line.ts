/** What a line that was typed says: the command, words, and a text that stays as it is. */

/** The first word of a text, and what follows it. */
export interface FirstWord {
  readonly word: string;
  /** Without the space around it; otherwise as it was typed. */
  readonly rest: string;
}

/** Names may hold spaces: in quotes, where `\` takes the meaning of a quote. */
const quoted = /^(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')(?=\s|$)/s;

/** Takes the first word of a text, in quotes or up to the first space; `undefined` when there is none. */
export function firstWord(text: string): FirstWord | undefined {
  const trimmed = text.trim();
  const [all, double, single] = quoted.exec(trimmed) ?? [];
  if (all !== undefined) {
    const word = (double ?? single ?? '').replace(/\\(.)/gs, '$1');
    return { word, rest: trimmed.slice(all.length).trim() };
  }
  const [word = ''] = /^\S+/.exec(trimmed) ?? [];
  return word === '' ? undefined : { word, rest: trimmed.slice(word.length).trim() };
}

/** A name as {@link firstWord} reads it back. */
export function quotedName(name: string): string {
  return /^[^\s"'][^\s]*$/.test(name) ? name : `"${name.replace(/["\\]/g, '\\$&')}"`;
}

/** What an agent is notified of: JSON where it is JSON, else the text itself. */
export function eventOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
