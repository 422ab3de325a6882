/** Values of other people's making, as text. */
import { inspect } from 'node:util';

const bounds = { depth: 6, maxArrayLength: 50, maxStringLength: 2_000, customInspect: false } as const;

/** A value on one line. */
export function shown(value: unknown): string {
  return safely(() => inspect(value, { ...bounds, compact: true, breakLength: Number.POSITIVE_INFINITY }));
}

/** A value on as many lines as it needs, which are seldom longer than so many columns. */
export function shownOnLines(value: unknown, columns: number): readonly string[] {
  return safely(() => inspect(value, { ...bounds, breakLength: Math.min(columns, 120) })).split('\n');
}

/** A value may be made so that even looking at it throws. */
function safely(look: () => string): string {
  try {
    return look();
  } catch {
    return '(cannot be shown)';
  }
}
