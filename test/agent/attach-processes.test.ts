/** Attaching to a run that really is in another process. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { LeaseLostError } from '../../src/errors.js';
import { refused } from '../../src/testing/session-store/case.js';
import { openStore } from '../support/shared-stores.js';
import { type StorePlace, storePlaces } from '../support/store-places.js';
import { TalkWorker } from '../support/talk-worker.js';
import { chunksOf, rest, seen, take, talker } from '../support/talkers.js';

const patienceMs = 60_000;

for (const { kind, absent, find } of storePlaces) {
  describe.skipIf(absent !== undefined)(`${kind}${absent === undefined ? '' : ` (skipped: ${absent})`}`, () => {
    let place: StorePlace;
    /** Each test's own. */
    let session: string;

    beforeAll(async () => {
      place = await find();
    }, patienceMs);
    afterAll(() => place.remove());

    /** A worker in mid-turn, and an agent here on the same database. */
    async function inMidTurn(leaseTtlMs = 15_000) {
      session = randomUUID();
      const worker = new TalkWorker({ address: place.address, session, leaseTtlMs });
      onTestFinished(() => worker.kill());
      const { store, close } = openStore(place.address);
      onTestFinished(() => close());
      await worker.until('waiting');
      return { worker, store, agent: talker(store, { leaseTtlMs }) };
    }

    const said = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, index) => `chunk ${from + index}`);

    test(
      'every chunk is seen once and in order, from the beginning and from a cursor in mid-turn',
      async () => {
        const { worker, agent } = await inMidTurn();
        const events = agent.attach(session)[Symbol.asyncIterator]();
        const first = await take(events, 5);
        expect(chunksOf(first)).toEqual(said(1, 5));
        const third = first[2];
        const later = agent.attach(session, third && { from: third.cursor })[Symbol.asyncIterator]();
        expect(chunksOf(await take(later, 2))).toEqual(said(4, 5));
        worker.go();
        const [all, alsoAll] = await Promise.all([seen(rest(events)), seen(rest(later))]);
        expect(all).toMatchObject({ chunks: [...said(6, 10), '|'], error: undefined });
        expect(alsoAll).toEqual(all);
        expect(await worker.until('over')).toEqual(['stop']);
        expect(await agent.attach(session).abort()).toEqual({ sessionId: session, finishReason: 'stop' });
      },
      patienceMs,
    );

    test(
      'an abort reaches its handler, and is confirmed when the run has ended',
      async () => {
        const { worker, agent, store } = await inMidTurn();
        const attachment = agent.attach(session);
        const watching = seen(attachment);
        const end = await attachment.abort('the user left');
        expect(end).toMatchObject({ sessionId: session, finishReason: 'aborted', error: { code: 'RUN_ABORTED' } });
        expect(await worker.until('aborted')).toEqual(['RUN_ABORTED', 'the user left']);
        expect(await worker.until('over')).toEqual(['aborted']);
        const { chunks, error } = await watching;
        expect(chunks.slice(0, 5)).toEqual(said(1, 5));
        expect(error).toMatchObject({ code: 'RUN_ABORTED' });
        expect(await store.acquire(session, { owner: 'next', ttlMs: 1_000, takeover: true })).toBeDefined();
      },
      patienceMs,
    );

    test(
      'killed in mid-turn it ends for those who watch, and an abort is confirmed once its lease has expired',
      async () => {
        const { worker, agent, store } = await inMidTurn(1_500);
        const attachment = agent.attach(session);
        const events = attachment[Symbol.asyncIterator]();
        await take(events, 5);
        await worker.kill();
        const acquire = vi.spyOn(store, 'acquire');
        const [end, { chunks, error }] = await Promise.all([attachment.abort(), seen(rest(events))]);
        expect(chunks).toEqual([]);
        expect(error).toBeInstanceOf(LeaseLostError);
        expect(end).toMatchObject({ sessionId: session, finishReason: 'failed', error: { code: 'LEASE_LOST' } });
        // It asked for the lease until there was none, and took it from nobody.
        expect(acquire).toHaveBeenCalled();
        for (const [, options] of acquire.mock.calls) expect(options.takeover ?? false).toBe(false);
        const connection = agent.open({ sessionId: session });
        await connection.send(['back']);
        await connection[Symbol.asyncDispose]();
      },
      patienceMs,
    );

    test(
      'frozen until its lease has expired it is fenced off by an abort, and says nothing when it wakes',
      async () => {
        const { worker, agent } = await inMidTurn(1_500);
        const attachment = agent.attach(session);
        await take(attachment[Symbol.asyncIterator](), 5);
        await worker.freeze();
        const end = await attachment.abort();
        expect(end).toMatchObject({ finishReason: 'failed', error: { code: 'LEASE_LOST' } });
        worker.thaw();
        // Its next renewal tells it, or its next word, or the wish that it end, which it hears of late.
        expect(['LEASE_LOST', 'RUN_ABORTED']).toContain((await worker.until('aborted'))[0]);
        worker.go();
        await worker.until('over');
        expect((await seen(agent.attach(session))).chunks).toEqual(said(1, 5));
        await refused(agent.attach('another').abort(), 'SESSION_NOT_RUNNING');
      },
      patienceMs,
    );
  });
}
