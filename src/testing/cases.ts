/** What the suites of this kit share: rules as cases, registered with the caller's own runner, skipped only with a reason. */
import { InvalidValueError } from '../errors.js';
import { systemClock } from '../internal/clock.js';

/** A runner's own function: `test` of vitest, node:test, mocha or jest. Its `skip` is used for cases that are skipped. */
export interface TestFunction {
  (name: string, run: () => Promise<void>): unknown;
  /** Without it a skipped case is registered as a test that does nothing. */
  readonly skip?: (name: string, run: () => Promise<void>) => unknown;
}

/** A case that what is tested does not keep. What it does instead belongs in a test of its own. */
export interface SkippedCase {
  /** The case's name. */
  readonly case: string;
  /** Why; shown in the title. */
  readonly reason: string;
}

/** One rule of a contract. */
export interface Case<Given> {
  /** The rule, as a sentence. */
  readonly name: string;
  run(given: Given): Promise<void>;
}

/** What a case is given; disposed of after it, whether it passed or not. */
export interface Disposable {
  dispose?(): void | Promise<void>;
}

/** Registers one test for every case. Throws `INVALID_VALUE` for a skip that names no case or gives no reason. */
export function registerCases<Given extends Disposable>(
  cases: readonly Case<Given>[],
  test: TestFunction,
  create: () => Given | Promise<Given>,
  skip: readonly SkippedCase[],
): void {
  for (const { case: name, reason } of skip) {
    if (!cases.some((one) => one.name === name)) throw badSkip(name, 'the name of a case', 'no such case');
    if (reason.trim() === '') throw badSkip(name, 'a reason', 'none');
  }
  for (const { name, run } of cases) {
    const skipped = skip.find((one) => one.case === name);
    if (skipped !== undefined) {
      const register = test.skip ?? test;
      register(`${name} (skipped: ${skipped.reason})`, async () => {});
      continue;
    }
    test(name, async () => {
      const given = await create();
      try {
        await run(given);
      } catch (error) {
        // What went wrong first is told, and not what then could not be put away.
        await dispose(given).catch(() => {});
        throw error;
      }
      await dispose(given);
    });
  }
}

async function dispose(given: Disposable): Promise<void> {
  await given.dispose?.();
}

/** In milliseconds, at least. */
export const betweenQuestionsMs = 2;

/** For a case that asks until the answer is another: without a pause it would take the processor from whoever makes it so. */
export function betweenQuestions(): Promise<void> {
  return new Promise((resolve) => void systemClock.after(betweenQuestionsMs, resolve, { keepAlive: true }));
}

function badSkip(name: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path: `skip.${name}`, expected, received }]);
}
