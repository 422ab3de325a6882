/** Rows in columns that fit a line. */
import { cut, fill, oneLine, widthOf, wrap } from './text.js';

/** One column of a table. */
export interface Column {
  readonly head: string;
  /** @default 'left' */
  readonly side?: 'left' | 'right';
}

const gap = '  ';
/** A column is not made narrower than this: better none of its last neighbours is seen. */
const narrowest = 4;

/** Lines of at most so many columns: the heads, then the rows. The widest column gives way first. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], lineWidth: number): string[] {
  const cells = [columns.map(({ head }) => head), ...rows].map((row) => row.map(oneLine));
  const widths = columns.map((_, index) =>
    Math.min(lineWidth, Math.max(...cells.map((row) => widthOf(row[index] ?? '')))),
  );
  shrink(widths, lineWidth - gap.length * (columns.length - 1));
  const line = (row: readonly string[]) =>
    columns.map(({ side }, index) => fill(row[index] ?? '', widths[index] ?? 0, side)).join(gap);
  return cells.map((row) => cut(line(row).trimEnd(), lineWidth));
}

/** A name before each text, which goes on beneath itself where it needs more lines. */
export function pairs(rows: readonly (readonly [name: string, text: string])[], lineWidth: number): string[] {
  const names = rows.map(([name]) => oneLine(name));
  const width = Math.min(Math.max(...names.map(widthOf)), Math.floor(lineWidth / 2));
  return rows.flatMap(([, text], index) =>
    wrap(text, lineWidth - width - gap.length).map((line, at) =>
      `${fill(at === 0 ? (names[index] ?? '') : '', width)}${gap}${line}`.trimEnd(),
    ),
  );
}

/** Takes a column from the widest until they fit, or cannot give any more. */
function shrink(widths: number[], room: number): void {
  let excess = widths.reduce((sum, width) => sum + width, 0) - room;
  for (; excess > 0; excess--) {
    const widest = Math.max(...widths);
    if (widest <= narrowest) return;
    widths[widths.lastIndexOf(widest)] = widest - 1;
  }
}
