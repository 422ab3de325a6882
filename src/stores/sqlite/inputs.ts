/** Inputs that were sent with an id. */
import type { AcceptedInput } from '../../session/store.js';
import { isReplacedBy } from '../../session/store-checks.js';
import type { Queries } from './open-database.js';
import { fromText, parseStored, toText } from './texts.js';

interface InputRow {
  readonly id: string;
  readonly run: string;
  readonly turn: number;
  readonly attempt: number;
  readonly done: number;
  readonly input: string | null;
}

const columns = 'id, run, turn, attempt, done, input';

/** Records an input, or leaves what is recorded under its id; answers what is there now. `json` is the input itself. */
export function acceptInput(
  queries: Queries,
  session: number,
  input: AcceptedInput,
  json: string | null,
): AcceptedInput {
  const id = toText(input.id);
  const recorded = queries.row<InputRow>(`SELECT ${columns} FROM inputs WHERE session = ? AND id = ?`, session, id);
  if (recorded !== undefined && !isReplacedBy(toInput(recorded), input)) return toInput(recorded);
  const { turn, attempt } = input;
  const row: InputRow = {
    id,
    run: toText(input.run),
    turn,
    attempt,
    done: input.done ? 1 : 0,
    input: input.done ? null : json,
  };
  queries.run(
    `INSERT INTO inputs (session, ${columns}) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (session, id) DO UPDATE
     SET run = excluded.run, turn = excluded.turn, attempt = excluded.attempt, done = excluded.done, input = excluded.input`,
    session,
    row.id,
    row.run,
    row.turn,
    row.attempt,
    row.done,
    row.input,
  );
  return toInput(row);
}

/** Inputs whose turn has not ended, in the order they were accepted. */
export function pendingInputs(queries: Queries, session: number): AcceptedInput[] {
  return queries
    .rows<InputRow>(`SELECT ${columns} FROM inputs WHERE session = ? AND done = 0 ORDER BY place`, session)
    .map(toInput);
}

function toInput({ id, run, turn, attempt, done, input }: InputRow): AcceptedInput {
  const accepted = { id: fromText(id), run: fromText(run), turn, attempt, done: done !== 0 };
  return input === null ? accepted : { ...accepted, input: parseStored(input) };
}
