import { describe, expect, test } from 'vitest';
import { asFeedEntry, toEndEntry, toFeedEntry } from '../../../src/agent/feed/entries.js';
import { TurnEnd, TurnStart } from '../../../src/connection/chunk-log.js';
import { AgentFlowError } from '../../../src/errors.js';

const place = { index: 9, turn: 2, attempt: 3, seq: 4 };
const at = [2, 3, 4];

describe('an entry of the log', () => {
  test.each([
    ['text', 'a', { at, chunk: 'a' }],
    ['JSON', { a: [null, -0] }, { at, chunk: { a: [null, 0] } }],
    ['false', false, { at, chunk: false }],
    ['what is undefined within', { a: undefined }, { at, chunk: {} }],
    ['what is not JSON', { a: [1n] }, { at, notJson: { path: 'a.0', received: 'bigint' } }],
    [
      'what cannot even be looked at',
      Object.defineProperty({}, 'x', { enumerable: true, get: () => JSON.parse('{') }),
      { at, notJson: { path: '', received: 'something that cannot be read' } },
    ],
    ['the start of a turn', new TurnStart(7, 1), { at, turnStart: true }],
    ['the end of one', new TurnEnd(false), { at, turnEnd: { interrupted: false } }],
    [
      'the end of one that failed',
      new TurnEnd(false, new TypeError('oh')),
      { at, turnEnd: { interrupted: false, error: { status: 'INTERNAL', code: 'HANDLER_FAILED', message: 'oh' } } },
    ],
  ])('%s', (_what, entry, expected) => {
    const written = toFeedEntry(place, entry);
    expect(written).toEqual(expected);
    expect(asFeedEntry(JSON.parse(JSON.stringify(written)))).toEqual(expected);
  });
});

test('the end of a run that failed with details that cannot be read', () => {
  const details = {
    get secret(): never {
      throw new TypeError('no reading');
    },
  };
  const error = new AgentFlowError('STORE_FAILED', 'away', { details });
  const { status, code, message } = error;
  expect(toEndEntry(place, { finishReason: 'failed', error })).toEqual({
    at,
    runEnd: { finishReason: 'failed', error: { status, code, message } },
  });
});

test('the end of a run', () => {
  const error = new AgentFlowError('RUN_ABORTED', 'enough', { cause: new TypeError('secret') });
  const { status, code, message } = error;
  expect(toEndEntry(place, { finishReason: 'aborted', error })).toEqual({
    at,
    runEnd: { finishReason: 'aborted', error: { status, code, message } },
  });
});

test.each([null, 'a', 3, [], {}, { at }, { at: [1, 2], chunk: 1 }, { at: [1, 'a', 2], chunk: 1 }, { chunk: 1 }])(
  'what is no entry is refused: %j',
  (value) => {
    expect(() => asFeedEntry(value)).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }));
  },
);
