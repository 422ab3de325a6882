/** Cases: a signal that fires stops the work for real. */
import assert from 'node:assert/strict';
import { answered, answerOf, ask, type BackendCase, hanging, restful, settled, start } from './case.js';

/** Cancellation. */
export const cancelCases: readonly BackendCase[] = [
  {
    name: 'a turn that is cancelled ends within a second, as cancelled, and so does its work',
    async run(given) {
      await given.play({ text: ['begun'], end: 'hang' });
      const turn = await hanging(given, await start(given), 'Go on for ever');
      const { events, failure } = await turn.cancel();
      assert.ok(!events.some(({ type }) => type === 'result'), 'expected no result of a turn that was cancelled');
      if (failure !== undefined) {
        assert.equal(failure.kind, 'cancelled');
        assert.equal(failure.retryable, false);
      }
      await restful(given);
    },
  },
  {
    name: 'a signal that has fired already asks nothing of the model',
    async run(given) {
      await given.play({ text: ['never'] });
      const session = await start(given);
      const turn = await ask(given, session, 'Too late', AbortSignal.abort('before'));
      assert.ok(!turn.events.some(({ type }) => type === 'result' || type === 'text'), 'expected nothing to be said');
      assert.deepEqual(await given.asked(), []);
      await restful(given);
    },
  },
  {
    name: 'a session goes on after a turn that was cancelled',
    async run(given) {
      let session = await start(given);
      await given.play({ text: ['one'] });
      session = (await answered(given, session, 'first')).session;
      await given.play({ text: ['two'], end: 'hang' });
      session = (await (await hanging(given, session, 'second')).cancel()).session;
      await restful(given);
      await given.play({ text: ['three'] });
      const turn = await answered(given, session, 'third');
      assert.equal(answerOf(turn), 'three');
      assert.equal((await given.asked()).at(-1)?.earlier, 1);
    },
  },
  {
    name: 'a turn that is cancelled takes no other with it',
    async run(given) {
      await given.play({ text: ['a'], end: 'hang' });
      await given.play({ text: ['b'], end: 'hang' });
      const first = await hanging(given, await start(given), 'first');
      const second = await hanging(given, await start(given), 'second', 2);
      await first.cancel();
      await settled(given, 1);
      await second.cancel();
      await restful(given);
    },
  },
];
