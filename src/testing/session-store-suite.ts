/** The suite every session store passes: the contract of `SessionStore`, case by case. */
import { InvalidValueError } from '../errors.js';
import type { StoreCase, StoreUnderTest } from './session-store/case.js';
import { deletionCases } from './session-store/deletion.js';
import { hostileCases } from './session-store/hostile.js';
import { inputCases } from './session-store/inputs.js';
import { isolationCases } from './session-store/isolation.js';
import { leaseCases } from './session-store/leases.js';
import { listingCases } from './session-store/listing.js';
import { reopenCases } from './session-store/reopen.js';
import { retentionCases } from './session-store/retention.js';
import { takeoverCases } from './session-store/takeovers.js';
import { versionCases } from './session-store/versions.js';

export type { StoreUnderTest };

/** A runner's own function: `test` of vitest, node:test, mocha or jest. Its `skip` is used for cases that are skipped. */
export interface TestFunction {
  (name: string, run: () => Promise<void>): unknown;
  readonly skip?: (name: string, run: () => Promise<void>) => unknown;
}

/** A case that a store does not keep. What it does instead belongs in a test of its own. */
export interface SkippedCase {
  /** The case's name. */
  readonly case: string;
  /** Why; shown in the title. */
  readonly reason: string;
}

/** What {@link testSessionStore} needs. */
export interface SessionStoreSuite {
  readonly test: TestFunction;
  /** Makes a store that holds nothing; called once for each case, and its `dispose` afterwards. */
  readonly create: () => StoreUnderTest | Promise<StoreUnderTest>;
  /** @default none */
  readonly skip?: readonly SkippedCase[];
}

const cases: readonly StoreCase[] = [
  ...versionCases,
  ...retentionCases,
  ...leaseCases,
  ...takeoverCases,
  ...inputCases,
  ...deletionCases,
  ...listingCases,
  ...isolationCases,
  ...hostileCases,
  ...reopenCases,
];

/**
 * Registers one test for every rule of the `SessionStore` contract. Assertions are node:assert's, so any runner will do.
 * No case sleeps: where a lease has to expire the suite moves the store's clock (`advance`), or else takes leases of
 * 50 ms and asks again until they have.
 *
 * Throws `INVALID_VALUE` for a skip that names no case or gives no reason.
 *
 * @example
 * import { test } from 'node:test';
 *
 * testSessionStore({ test, create: () => ({ store: new MyStore(), dispose: () => {} }) });
 */
export function testSessionStore({ test, create, skip = [] }: SessionStoreSuite): void {
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
      } finally {
        await given.dispose?.();
      }
    });
  }
}

function badSkip(name: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path: `skip.${name}`, expected, received }]);
}
