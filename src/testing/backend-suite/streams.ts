/** Cases: events in order, one terminal, last; lazy and blocking streams; readers that leave. */
import assert from 'node:assert/strict';
import {
  answered,
  answerOf,
  ask,
  type BackendCase,
  hanging,
  inTime,
  isWhole,
  nextTurn,
  noSignal,
  restful,
  start,
} from './case.js';

/** How a turn is told. */
export const streamCases: readonly BackendCase[] = [
  {
    name: 'a prompt is answered with its text and one terminal, a result, which is the last event',
    async run(given) {
      await given.play({ text: ['Hello, ', 'world'] });
      const turn = await answered(given, await start(given), 'Hi');
      assert.equal(answerOf(turn), 'Hello, world');
      assert.equal(turn.text, 'Hello, world', 'expected the text to be told by text events');
      const asked = await given.asked();
      assert.deepEqual(
        asked.map(({ prompt }) => prompt),
        ['Hi'],
      );
      await restful(given);
    },
  },
  {
    name: 'text arrives while the model is still speaking',
    async run(given) {
      const controller = new AbortController();
      await given.play({ text: ['first'], end: 'hang' });
      const session = await start(given);
      const turn = await given.backend.prompt(session, 'Speak', { signal: controller.signal });
      const iterator = turn.events[Symbol.asyncIterator]();
      const first = async () => {
        for (;;) {
          const { value, done } = await iterator.next();
          assert.ok(!done, 'expected a text, but the turn ended');
          if (value.type === 'text' && value.text !== '') return value.text;
        }
      };
      assert.equal(await inTime(given, first(), 'the first text before the turn is over'), 'first');
      controller.abort();
      await iterator.return?.();
      await restful(given);
    },
  },
  {
    name: 'a text arrives as it was said',
    async run(given) {
      const pieces = [
        'Grüße, 世界 👩‍👩‍👧\n',
        '{"a": "\\u00e9"}\r\n\r\n',
        'data: [DONE]\n\n',
        '  spaces  ',
        '\t"quoted" \\n',
      ];
      await given.play({ text: pieces });
      const turn = await answered(given, await start(given), 'Übermittle "das": {}\n');
      assert.equal(answerOf(turn), pieces.join(''));
      assert.equal((await given.asked()).at(-1)?.prompt, 'Übermittle "das": {}\n');
    },
  },
  {
    name: 'an answer without a text is an answer',
    async run(given) {
      await given.play({ text: [] });
      assert.equal(answerOf(await answered(given, await start(given), 'Say nothing')), '');
    },
  },
  {
    name: 'events may be read late',
    async run(given) {
      await given.play({ text: ['patient'] });
      const session = await start(given);
      const { events } = await given.backend.prompt(session, 'Wait', { signal: noSignal() });
      for (let turn = 0; turn < 20; turn++) await nextTurn();
      const types: string[] = [];
      for await (const event of events) types.push(event.type);
      assert.equal(types.at(-1), 'result');
    },
  },
  {
    name: 'events that nobody reads leave nothing behind when the session ends',
    async run(given) {
      await given.play({ text: ['unheard'], end: 'hang' });
      const controller = new AbortController();
      const turn = await given.backend.prompt(await start(given), 'Anybody?', { signal: controller.signal });
      await nextTurn();
      controller.abort();
      await given.backend.terminateSession(turn.session);
      await restful(given);
    },
  },
  {
    name: 'a reader that leaves early ends the work',
    async run(given) {
      await given.play({ text: ['one'], end: 'hang' });
      const { events } = await given.backend.prompt(await start(given), 'Count', { signal: noSignal() });
      const leave = async () => {
        for await (const event of events) if (event.type === 'text') break;
      };
      await inTime(given, leave(), 'a text, and the reader to get away');
      await restful(given);
    },
  },
  {
    name: 'a connection that is lost is no answer, and no cancellation either',
    async run(given) {
      await given.play({ text: ['half of'], end: 'drop' });
      const turn = await ask(given, await start(given), 'Tell me');
      assert.ok(!turn.events.some(({ type }) => type === 'result'), 'expected no result of a connection that was lost');
      const { failure } = turn;
      assert.ok(failure && isWhole(failure), 'expected the failure to be told in full');
      assert.notEqual(failure.kind, 'cancelled');
      assert.equal(failure.retryable, true, 'expected a lost connection to be worth another try');
      await restful(given);
    },
  },
  {
    name: 'a hanging model holds up its own session only',
    async run(given) {
      await given.play({ text: [], end: 'hang' });
      const stuck = await hanging(given, await start(given), 'Hang');
      await given.play({ text: ['free'] });
      assert.equal(answerOf(await answered(given, await start(given), 'Go')), 'free');
      await stuck.cancel();
      await restful(given);
    },
  },
];
