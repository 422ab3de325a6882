/** The model's answer to one input, why a turn ended, and its error as data. */
import { GenkitError } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { AgentFlowError } from '../../src/errors.js';
import { ChatAnswer, turnReason, wireError } from '../../src/genkit/chat/answer.js';

const model = (...content: object[]) => ({ role: 'model' as const, content });

describe('an answer', () => {
  test('is what the conversation ends with, if that is new and the model said it', () => {
    const before = model({ text: 'old' });
    const answer = new ChatAnswer(before);
    answer.add(model({ text: 'streamed' }));
    const saved = model({ text: 'saved' });
    expect(answer.message({ messages: [before, saved] }, 'returned')).toBe(saved);
    for (const messages of [[before], [before, { role: 'user' as const, content: [] }], undefined])
      expect(answer.message({ messages }, 'returned')).toEqual(model({ text: 'streamed' }));
  });

  test('is put together of chunks: text with text, reasoning with reasoning', () => {
    const answer = new ChatAnswer();
    answer.add(model({ reasoning: 'hm' }, { reasoning: 'm' }));
    answer.add({ content: [{ text: 'a' }] });
    answer.add({ role: 'tool', content: [{ text: 'not the model' }] });
    answer.add(model({ text: 'b' }, { text: 'c', metadata: { purpose: 'own' } }));
    const content = [{ reasoning: 'hmm' }, { text: 'ab' }, { text: 'c', metadata: { purpose: 'own' } }];
    expect(answer.message({})).toEqual(model(...content));
    answer.add({ content: [{ text: 'all of it' }], aggregated: true });
    expect(answer.message({})).toEqual(model({ text: 'all of it' }));
    answer.startOver();
    expect(answer.message({})).toBeUndefined();
  });

  test.each([
    ['text', 'bye', model({ text: 'bye' })],
    ['a message', model({ text: 'bye' }), model({ text: 'bye' })],
    ['no text', '', undefined],
    ['something else', { content: 'bye' }, undefined],
  ])('is what was returned where nothing was said: %s', (_, returned, message) => {
    expect(new ChatAnswer().message({}, returned)).toEqual(message);
  });
});

test('a turn ends by its failure, or as its answer has it', () => {
  const interrupt = model({ toolRequest: { name: 'ask', input: {} }, metadata: { interrupt: true } });
  const failed = new AgentFlowError('HANDLER_FAILED', 'broke');
  const aborted = new AgentFlowError('RUN_ABORTED', 'stopped');
  expect([turnReason(failed, interrupt), turnReason(aborted, interrupt)]).toEqual(['failed', 'aborted']);
  expect([turnReason(undefined, interrupt), turnReason(undefined, undefined)]).toEqual(['interrupted', 'stop']);
});

test('an error on the wire has the details of ours, or those that a handler of Genkit gave', () => {
  const ours = new AgentFlowError('SESSION_NOT_FOUND', 'gone');
  expect(wireError(ours)).toEqual({ status: 'NOT_FOUND', message: 'gone', details: { code: 'SESSION_NOT_FOUND' } });
  const cause = new GenkitError({ status: 'UNAVAILABLE', message: 'busy', detail: { retryAfter: 3, log: () => {} } });
  const theirs = wireError(new AgentFlowError('HANDLER_FAILED', 'busy', { cause }));
  expect(theirs.details).toEqual({ retryAfter: 3 });
});
