/** What a chat and its agent say to each other, over a real connection whose agent is the test. */
import { describe, expect, test } from 'vitest';
import { Inbox } from '../../src/connection/inbox.js';
import { Outbox } from '../../src/connection/outbox.js';
import { RunConnection } from '../../src/connection/run-connection.js';
import { AgentFlowError, InvalidValueError } from '../../src/errors.js';
import { type ChatConnection, ChatExchange } from '../../src/genkit/chat/exchange.js';
import { errorOf, quiet, stateOf } from '../support/waiting.js';

function connect() {
  const inbox = new Inbox<unknown>(10);
  const outbox = new Outbox<unknown>('run', { maxBufferedChunks: 4, replayChunks: 100 });
  const checkInput = (input: unknown): unknown => {
    if (typeof input === 'string') return input;
    throw new InvalidValueError('input', [{ path: '', expected: 'string', received: typeof input }]);
  };
  const parts = { sessionId: 's', policy: 'reject', inbox, outbox, checkInput, onAbort: () => {} } as const;
  const connection: ChatConnection = new RunConnection(parts);
  const heard: unknown[] = [];
  const listener = { said: (chunk: unknown) => void heard.push(chunk), startOver: () => void heard.splice(0) };
  /** Takes the next input, and is told the turn it becomes. */
  const take = (turn: number) =>
    inbox.take({ taken: (entry) => entry?.receipt.resolve({ sessionId: 's', turn, status: 'accepted' } as never) });
  return { inbox, outbox, connection, exchange: new ChatExchange(connection), heard, listener, take };
}

const failure = new AgentFlowError('HANDLER_FAILED', 'broke');
const output = { sessionId: 's', output: 'bye', state: {}, finishReason: 'stop' } as const;

describe('ask', () => {
  test('hears the answer to its end, and the next one from its beginning', async () => {
    const { outbox, exchange, heard, listener, take } = connect();
    for (const turn of [1, 2]) {
      take(turn);
      const asked = exchange.ask('a', listener);
      void outbox.send(`chunk of ${turn}`);
      expect(await stateOf(asked)).toBe('pending');
      outbox.endTurn(false);
      await asked;
      expect(heard.splice(0)).toEqual([`chunk of ${turn}`]);
    }
  });

  test('answers to what a run before left behind are not the answer', async () => {
    const { outbox, exchange, heard, listener, take } = connect();
    const asked = exchange.ask('a', listener);
    void outbox.send('to another input');
    outbox.endTurn(false, failure);
    await quiet();
    expect(heard).toEqual([]);
    take(2);
    void outbox.send('to this one');
    outbox.endTurn(false);
    await asked;
    expect(heard).toEqual(['to this one']);
  });

  test('rejects with what the turn failed with', async () => {
    const { outbox, exchange, listener, take } = connect();
    take(1);
    const asked = exchange.ask('a', listener);
    await quiet();
    outbox.endTurn(false, failure);
    expect(await errorOf(asked)).toBe(failure);
  });

  test('rejects at once with what is wrong with the input', async () => {
    const { exchange, listener } = connect();
    expect(await errorOf(exchange.ask(5, listener))).toMatchObject({ code: 'INVALID_VALUE' });
  });

  test('rejects with what ended the run, before and after it was sent', async () => {
    const { connection, exchange, listener } = connect();
    const asked = exchange.ask('a', listener);
    connection.fail(failure);
    expect(await errorOf(asked)).toBe(failure);
    expect(await errorOf(exchange.ask('b', listener))).toBe(failure);
  });

  test('rejects when the agent ends the run without an answer', async () => {
    const { connection, exchange, listener } = connect();
    const asked = exchange.ask('a', listener);
    connection.succeed(output);
    expect(await errorOf(asked)).toMatchObject({ code: 'CONNECTION_CLOSED' });
  });
});

describe('finish', () => {
  test('closes the input, hears what is still said, and tells what was returned', async () => {
    const { inbox, outbox, connection, exchange, heard, listener } = connect();
    const finished = exchange.finish(listener);
    expect(inbox.isClosed).toBe(true);
    for (const chunk of [1, 2, 3, 4, 5, 6]) await outbox.send(chunk);
    expect(await stateOf(finished)).toBe('pending');
    connection.succeed(output);
    expect(await finished).toEqual({ output });
    expect(heard).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('tells the error of a run that failed', async () => {
    const { connection, exchange, listener } = connect();
    connection.fail(failure);
    expect(await exchange.finish(listener)).toEqual({ error: failure });
  });
});
