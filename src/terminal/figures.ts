/** Durations, amounts, refs and values of other people's making, as people read them. */
import { inspect } from 'node:util';

/** Milliseconds as `12 ms`, `3.4 s`, `5 min 6 s`, `2 h 3 min`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'no limit';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

/** US dollars: cents where there are whole ones, more digits where there are not. */
export function dollars(usd: number): string {
  if (usd === 0 || usd >= 1) return `$${usd.toFixed(2)}`;
  return `$${usd.toFixed(usd < 0.0001 ? 6 : 4)}`;
}

/** A number and what it counts. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** A moment, in milliseconds since the Unix epoch, as the clock on the wall shows it. */
export function timeOfDay(at: number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** As much of a ref as tells it from its neighbours. */
export function shortRef(ref: string): string {
  return ref.slice(0, 8);
}

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
