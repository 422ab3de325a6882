/** Answers to tool interrupts: what a client may answer, and what the agent gets of it. */
import { MessageSchema } from 'genkit';
import { genkit, z } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { messageOf } from '../../src/genkit/chat/intake.js';
import { defineAgent } from '../../src/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { converse, say } from '../support/chat.js';

const question = { toolRequest: { name: 'ask', ref: '1', input: { path: '/tmp' } }, metadata: { interrupt: true } };
const history = [
  { role: 'user' as const, content: [{ text: 'do it' }] },
  { role: 'model' as const, content: [{ toolRequest: { name: 'ask', ref: '1', input: { path: '/old' } } }] },
  { role: 'model' as const, content: [question] },
];
const respond = [{ toolResponse: { name: 'ask', ref: '1', output: 'yes' } }];
const restart = [{ ...question, metadata: { resumed: true } }];

describe('messageOf', () => {
  test('a message is itself', () => {
    const input = say('hello');
    expect(messageOf(input, history)).toBe(input.message);
  });

  test('answers become a message of the role tool', () => {
    const content = [...respond, ...restart];
    expect(messageOf({ resume: { respond, restart } }, history)).toEqual({
      role: 'tool',
      content,
      metadata: { resumed: true },
    });
  });

  test.each([
    [
      'respond',
      { respond: [{ toolResponse: { name: 'other', ref: '1', output: 1 } }] },
      'was not found in session history',
    ],
    [
      'another reference',
      { respond: [{ toolResponse: { name: 'ask', ref: '2', output: 1 } }] },
      'was not found in session history',
    ],
    ['restart', { restart: [{ toolRequest: { name: 'other', input: {} } }] }, 'was not found in session history'],
    [
      'other inputs',
      { restart: [{ toolRequest: { name: 'ask', ref: '1', input: { path: '/etc' } } }] },
      'modified inputs',
    ],
    [
      'inputs of an older request',
      { restart: [{ toolRequest: { name: 'ask', ref: '1', input: { path: '/old' } } }] },
      'modified inputs',
    ],
  ])('what the model never asked is refused: %s', (_, resume, says) => {
    expect(() => messageOf({ resume }, history)).toThrow(says);
  });

  test('where no conversation is kept nothing can be resumed', () => {
    expect(() => messageOf({ resume: { respond } }, [])).toThrow('was not found in session history');
  });
});

test('a turn that stops to ask says so, and the answer reaches the agent', async () => {
  const agent = defineAgent(
    genkit({}),
    {
      name: 'asker',
      inputSchema: MessageSchema,
      streamSchema: z.string(),
      stateSchema: z.object({ messages: z.array(MessageSchema).default([]) }),
      store: new MemorySessionStore(),
    },
    async ({ turns, session }) => {
      await turns((input) =>
        session.updateState((draft) => {
          const answer = input.content[0]?.toolResponse?.output;
          const said = answer === undefined ? question : { text: `you said ${answer}` };
          draft.messages.push(input, { role: 'model', content: [said] });
        }),
      );
      return { output: null };
    },
  );
  const chat = agent.chatAgent.chat();
  const first = await chat.send('do it');
  expect([first.finishReason, first.interrupts.map(({ name }) => name)]).toEqual(['interrupted', ['ask']]);
  const finishReasonOf = async (id = '') => (await agent.chatAgent.getSnapshot(id))?.finishReason;
  expect(await finishReasonOf(chat.snapshotId)).toBe('interrupted');
  const forged = await converse(
    agent.chatAgent,
    [{ resume: { respond: [{ toolResponse: { name: 'rm', output: 1 } }] } }],
    {
      snapshotId: chat.snapshotId,
    },
  );
  expect(forged.output).toMatchObject({ finishReason: 'failed', error: { status: 'INVALID_ARGUMENT' } });
  const answers = first.interrupts.map((interrupt) => interrupt.respond('yes'));
  const second = await chat.resume({ respond: answers });
  expect([second.text, second.finishReason]).toEqual(['you said yes', 'stop']);
  expect(await finishReasonOf(chat.snapshotId)).toBe('stop');
});
