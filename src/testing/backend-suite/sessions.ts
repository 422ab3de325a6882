/** Cases: a session from turn to turn, beside others, and taken up again. */
import assert from 'node:assert/strict';
import type { Message } from '../../backends/backend.js';
import {
  answered,
  answerOf,
  ask,
  askResumed,
  type BackendCase,
  hanging,
  restful,
  sessionIdOf,
  start,
  succeeded,
} from './case.js';

const firstTurn: readonly Message[] = [
  { role: 'user', content: [{ text: 'My name is Ada' }] },
  { role: 'model', content: [{ text: 'Hello Ada' }] },
];

const call = { id: 'left_1', name: 'look_up', input: { word: 'tea' } };

/** What a process had of its second turn when it died: what was asked, and a call. */
const leftTurn: readonly Message[] = [
  ...firstTurn,
  { role: 'user', content: [{ text: 'What is tea?' }] },
  { role: 'model', content: [{ toolRequest: { ref: call.id, name: call.name, input: call.input } }] },
];

/** Sessions. */
export const sessionCases: readonly BackendCase[] = [
  {
    name: 'each turn knows of those before it',
    async run(given) {
      let session = await start(given);
      for (const [index, text] of ['one', 'two', 'three'].entries()) {
        await given.play({ text: [text] });
        const turn = await answered(given, session, `prompt ${index}`);
        session = turn.session;
        assert.deepEqual((await given.asked()).at(-1)?.earlier, index, 'expected the model to know the turns before');
      }
    },
  },
  {
    name: 'two sessions know nothing of each other, also at the same time',
    async run(given) {
      const [first, second] = [await start(given), await start(given)];
      await given.play({ text: ['same'] });
      await given.play({ text: ['same'] });
      const turns = await Promise.all([answered(given, first, 'a'), answered(given, second, 'b')]);
      assert.deepEqual(turns.map(answerOf), ['same', 'same']);
      assert.deepEqual(
        (await given.asked()).map(({ earlier }) => earlier),
        [0, 0],
      );
      await given.play({ text: ['again'] });
      await answered(given, turns[0]?.session, 'c');
      assert.equal((await given.asked()).at(-1)?.earlier, 1);
    },
  },
  {
    name: 'a session tells an id of its own, and keeps it',
    async run(given) {
      const ids: (string | undefined)[] = [];
      for (let count = 0; count < 2; count++) {
        let session = await start(given);
        for (let turns = 0; turns < 2; turns++) {
          await given.play({ text: ['here'] });
          const turn = await answered(given, session, 'who?');
          session = turn.session;
          ids.push(sessionIdOf(turn));
        }
      }
      assert.ok(ids[0], 'expected the session to tell an id');
      assert.equal(ids[1], ids[0], 'expected the id to stay');
      assert.equal(ids[3], ids[2], 'expected the id to stay');
      assert.notEqual(ids[2], ids[0], 'expected each session to have an id of its own');
    },
  },
  {
    name: 'a turn that failed is no part of the conversation',
    async run(given) {
      let session = await start(given);
      await given.play({ end: 'server' });
      const failed = await ask(given, session, 'fail');
      session = failed.session;
      assert.ok(failed.failure, 'expected the turn to fail');
      await given.play({ text: ['fine'] });
      const turn = await answered(given, session, 'and now?');
      assert.equal(answerOf(turn), 'fine');
      assert.equal((await given.asked()).at(-1)?.prompt, 'and now?');
      assert.equal((await given.asked()).at(-1)?.earlier, 0);
    },
  },
  {
    name: 'a session is taken up by its id, if the backend can do that',
    async run(given) {
      const { backend } = given;
      if (backend.resumeSession === undefined) return;
      await given.play({ text: ['Hello Ada'] });
      const first = await answered(given, await start(given), 'My name is Ada');
      const id = sessionIdOf(first);
      assert.ok(id, 'expected an id to take the session up by');
      await backend.terminateSession(first.session);
      const session = await backend.resumeSession(id, { messages: firstTurn });
      await given.play({ text: ['Ada'] });
      const second = await answered(given, session, 'What is my name?');
      assert.equal((await given.asked()).at(-1)?.earlier, 1, 'expected the model to know the turn before');
      assert.equal(sessionIdOf(second) ?? id, id, 'expected the id to stay');
    },
  },
  {
    name: 'a turn that another process has left goes on from the results of its calls, if the backend can do that',
    async run(given) {
      const { backend } = given;
      if (backend.resumeSession === undefined || backend.resumeTurn === undefined) return;
      await given.play({ text: ['Hello Ada'] });
      const first = await answered(given, await start(given), 'My name is Ada');
      const id = sessionIdOf(first);
      assert.ok(id, 'expected an id to take the session up by');
      await backend.terminateSession(first.session);
      const session = await backend.resumeSession(id, { messages: leftTurn });
      await given.play({ text: ['A drink, Ada.'] });
      const asked = (await given.asked()).length;
      const turn = succeeded(await askResumed(given, session, [{ ...call, output: 'a drink', isError: false }]));
      assert.equal(answerOf(turn), 'A drink, Ada.');
      assert.ok(!turn.events.some(({ type }) => type === 'tool_use'), 'expected no call to be made again');
      assert.equal((await given.asked()).length, asked, 'expected the prompt not to be asked again');
      await given.play({ text: ['Leaves.'] });
      assert.equal(answerOf(await answered(given, turn.session, 'Of what?')), 'Leaves.');
      assert.equal((await given.asked()).at(-1)?.earlier, 2, 'expected the turn to be a part of the conversation');
      await restful(given);
    },
  },
  {
    name: 'what the model is told before everything else reaches it in every turn',
    async run(given) {
      let session = await start(given, { system: 'You are a parrot.' });
      for (const prompt of ['one', 'two']) {
        await given.play({ text: ['squawk'] });
        session = (await answered(given, session, prompt)).session;
        assert.equal((await given.asked()).at(-1)?.system, 'You are a parrot.');
      }
    },
  },
  {
    name: 'a session that is terminated stops its work, and may be terminated again',
    async run(given) {
      const { backend } = given;
      await given.play({ text: ['still'], end: 'hang' });
      const session = await start(given);
      const turn = await hanging(given, session, 'Go on');
      await turn.cancel();
      await backend.terminateSession(session);
      await backend.terminateSession(session);
      await restful(given);
    },
  },
];
