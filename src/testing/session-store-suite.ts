/** The suite every session store passes: the contract of `SessionStore`, case by case. */
import assert from 'node:assert/strict';
import { registerCases, type SkippedCase, type TestFunction } from './cases.js';
import type { StoreCase, StoreUnderTest } from './session-store/case.js';
import { deletionCases } from './session-store/deletion.js';
import { feedCases } from './session-store/feed.js';
import { feedAbortCases } from './session-store/feed-aborts.js';
import { feedBoundCases } from './session-store/feed-bounds.js';
import { feedGrowthCases } from './session-store/feed-growth.js';
import { hostileCases } from './session-store/hostile.js';
import { inputCases } from './session-store/inputs.js';
import { isolationCases } from './session-store/isolation.js';
import { leaseCases } from './session-store/leases.js';
import { listingCases } from './session-store/listing.js';
import { reopenCases } from './session-store/reopen.js';
import { retentionCases } from './session-store/retention.js';
import { takeoverCases } from './session-store/takeovers.js';
import { versionCases } from './session-store/versions.js';

export type { SkippedCase, StoreUnderTest, TestFunction };

/** What {@link testSessionStore} needs. */
export interface SessionStoreSuite {
  readonly test: TestFunction;
  /** Makes a store that holds nothing; called once for each case, and its `dispose` afterwards. */
  readonly create: () => StoreUnderTest | Promise<StoreUnderTest>;
  /**
   * Does the store keep feeds (`RunFeed`)? Only then their cases are run.
   * @default false
   */
  readonly feed?: boolean;
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

const casesOfFeeds: readonly StoreCase[] = [...feedCases, ...feedBoundCases, ...feedGrowthCases, ...feedAbortCases];

/** So that nobody forgets the cases of a feed. */
function isSaidToKeepFeeds(feed: boolean): StoreCase {
  return {
    name: `a store ${feed ? 'that is said to keep feeds keeps them' : 'that keeps feeds is said to do so'}`,
    run: async ({ store }) => assert.equal(store.feed !== undefined, feed, 'the option `feed` of the suite is wrong'),
  };
}

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
export function testSessionStore({ test, create, feed = false, skip = [] }: SessionStoreSuite): void {
  const all = [...cases, isSaidToKeepFeeds(feed), ...(feed ? casesOfFeeds : [])];
  registerCases(all, test, async () => withStore(await create()), skip);
}

function withStore(given: Partial<StoreUnderTest> | undefined): StoreUnderTest {
  const { store } = given ?? {};
  assert.ok(store, 'expected `create` to answer `{ store }`, with a store in it');
  return { ...given, store };
}
