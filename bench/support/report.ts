/** What a question's answer looks like. */

/** One question of the benchmark. */
export interface Question {
  /** How it is called on the command line. */
  readonly name: string;
  readonly title: string;
  /** Measures; runs in a process of its own. */
  answer(): Promise<Answer>;
}

/** What was measured, and what that says of the goals. */
export interface Answer {
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
}

/** Numbers under headings. */
export interface Table {
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What we want to be true. Never a test: a machine may be slow or busy. */
export interface Goal {
  readonly wanted: string;
  readonly measured: string;
  readonly isMet: boolean;
}

/** The answer as Markdown. */
export function toMarkdown(title: string, { tables, goals }: Answer): string {
  const goalRows = goals.map(({ wanted, measured, isMet }) => [wanted, measured, isMet ? 'met' : '**not met**']);
  const goalTable = { headings: ['goal', 'measured', ''], rows: goalRows };
  const shown = goals.length === 0 ? tables : [...tables, goalTable];
  return [`### ${title}`, ...shown.map(tableToMarkdown)].join('\n\n');
}

function tableToMarkdown({ headings, rows }: Table): string {
  const lines = [headings, headings.map((_, column) => (column === 0 ? '---' : '--:')), ...rows];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const pad = (cell: string, column: number) => {
    const width = widths[column] ?? 0;
    if (/^-+:?$/.test(cell)) return cell.padStart(width, '-');
    return column === 0 ? cell.padEnd(width) : cell.padStart(width);
  };
  return lines.map((line) => `| ${line.map(pad).join(' | ')} |`).join('\n');
}

/** A goal that a ratio stays at or below a limit. */
export function atMost(wanted: string, limit: number, measured: number, unit = '×'): Goal {
  return { wanted, measured: withUnit(measured, unit), isMet: measured <= limit };
}

/** A goal that a ratio reaches a limit. */
export function atLeast(wanted: string, limit: number, measured: number, unit = '×'): Goal {
  return { wanted, measured: withUnit(measured, unit), isMet: measured >= limit };
}

/** Three digits that matter; `–` for what was not measured. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A whole number with thousands marked. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

export function times(value: number): string {
  return withUnit(value, '×');
}

function withUnit(value: number, unit: string): string {
  return Number.isFinite(value) ? `${short(value)}${unit}` : '–';
}
