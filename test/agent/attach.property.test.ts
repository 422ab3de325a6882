/** Whatever the store does meanwhile, who attaches sees exactly what comes after the cursor, once and in order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Cursor } from '../../schemas/index.js';
import type { WatchEvent } from '../../src/connection/connection.js';
import { AgentFlowError } from '../../src/errors.js';
import type { RunFeed, SessionStore } from '../../src/session/store.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { seen, talker } from '../support/talkers.js';

const sessionId = 'session';

/** What the store does with a call. */
type Fate = 'does it' | 'fails' | 'does it and fails' | 'takes its time';

/** One thing that happens in the life of a run. */
type Step =
  | { readonly do: 'say'; readonly chunks: number }
  | { readonly do: 'pass'; readonly ms: number }
  /** Somebody attaches, after one of the events there have been. */
  | { readonly do: 'attach'; readonly after: number; readonly fates: readonly Fate[] };

const fate = fc.constantFrom<Fate>('does it', 'does it', 'does it', 'fails', 'does it and fails', 'takes its time');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('say' as const), chunks: fc.integer({ min: 0, max: 40 }) }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  fc.record({ do: fc.constant('attach' as const), after: fc.nat(200), fates: fc.array(fate, { maxLength: 5 }) }),
);

/** A run that ends tries four times to say its last; then it lets its session go. */
const appendFates = fc
  .array(fate, { maxLength: 12 })
  .filter((fates) => !/f{4}/.test(fates.map((one) => (one.includes('fails') ? 'f' : '.')).join('')));

/** A feed whose calls meet these fates, one after another; then all is well. */
function fated(feed: RunFeed, fates: readonly Fate[], calls: readonly (keyof RunFeed)[]): RunFeed {
  const left = [...fates];
  const meet = async <T>(call: keyof RunFeed, work: () => Promise<T>): Promise<T> => {
    const next = calls.includes(call) ? (left.shift() ?? 'does it') : 'does it';
    const failure = new AgentFlowError('STORE_FAILED', `It ${next}`);
    if (next === 'fails') throw failure;
    for (let turns = next === 'takes its time' ? 50 : 0; turns > 0; turns--) await Promise.resolve();
    const answer = await work();
    if (next === 'does it and fails') throw failure;
    return answer;
  };
  return {
    append: (lease, entries) => meet('append', () => feed.append(lease, entries)),
    read: (id, options) => meet('read', () => feed.read(id, options)),
    whenGrown: (id, run, end, signal) => meet('whenGrown', () => feed.whenGrown(id, run, end, signal)),
    requestAbort: (id, run, reason) => feed.requestAbort(id, run, reason),
    listenForAbort: (lease, listener) => feed.listenForAbort(lease, listener),
  };
}

/** The same sessions through an object of its own, as another process would have it. */
function withFeed(store: SessionStore, change: (feed: RunFeed) => RunFeed): SessionStore {
  const own = store.forTenant('of the test');
  if (own.feed !== undefined) Object.assign(own, { feed: change(own.feed) });
  return own;
}

const macrotask = () => new Promise((resolve) => setImmediate(resolve));

/** Lets everything happen that needs no more than time. */
async function settle<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  void work.then(
    () => {
      isOver = true;
    },
    () => {
      isOver = true;
    },
  );
  while (!isOver) {
    await macrotask();
    clock.advance(20);
  }
  return work;
}

async function live(steps: readonly Step[], appends: readonly Fate[]): Promise<void> {
  const database = new SqliteSessionStore({ path: ':memory:' });
  const clock = new ManualClock();
  const runner = talker(
    withFeed(database, (feed) => fated(feed, appends, ['append'])),
    { clock, leaseTtlMs: 2 ** 31 - 1 },
  );
  const connection = runner.open({ sessionId });
  const all: WatchEvent<unknown>[] = [];
  const local = (async () => {
    for await (const event of connection.watch()) all.push(event);
  })();
  while (!connection.hasSession) await macrotask();
  const attached: { readonly from: Cursor | undefined; readonly seen: ReturnType<typeof seen> }[] = [];
  let chunks = 0;
  for (const one of steps) {
    if (one.do === 'say') await connection.send(Array.from({ length: one.chunks }, () => chunks++));
    if (one.do === 'pass') clock.advance(one.ms);
    await macrotask();
    if (one.do !== 'attach') continue;
    const from = all[one.after % (all.length + 1)]?.cursor;
    const store = withFeed(database, (feed) => fated(feed, one.fates, ['whenGrown']));
    const onlooker = talker(store, { clock, leaseTtlMs: 2 ** 31 - 1 });
    attached.push({ from, seen: seen(onlooker.attach(sessionId, from && { from })) });
  }
  connection.close();
  await settle(clock, connection.output());
  await local;
  for (const { from, seen: watching } of attached) {
    const { all: events, error } = await settle(clock, watching);
    const place = all.findIndex(({ cursor }) => JSON.stringify(cursor) === JSON.stringify(from));
    expect(events).toEqual(all.slice(place + 1));
    expect(error).toBeUndefined();
  }
  await database.close();
}

test('whatever is said, and however the store fails, from any cursor and at any time', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), appendFates, live), {
    numRuns: 150,
  });
}, 120_000);
