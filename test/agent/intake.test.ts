import { describe, expect, it } from 'vitest';
import { Intake } from '../../src/agent/intake.js';
import { Inbox } from '../../src/connection/inbox.js';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import type { AcceptedInput } from '../../src/session/store.js';
import { errorOf, Gate, quiet, stateOf } from '../support/waiting.js';

/** An intake, and a book of all that it records. */
function intake(record?: (input: AcceptedInput) => Promise<AcceptedInput>, keepsInputs = true) {
  const inbox = new Inbox<string>(100);
  const outbox = new Outbox<string>('run', { maxBufferedChunks: 10, replayChunks: 10 });
  const controller = new AbortController();
  const book: string[] = [];
  const turns: string[] = [];
  const entry = ({ id, turn, attempt, done }: AcceptedInput) => `${id} turn ${turn} #${attempt}${done ? ' done' : ''}`;
  const run = {
    id: 'run',
    inbox,
    outbox,
    abort: controller.signal,
    keepsInputs,
    record: async (input: AcceptedInput) => {
      book.push(entry(input));
      return (await record?.(input)) ?? input;
    },
  };
  const taken = new Intake<string, string>(run, {
    context: {},
    sessionOpened: () => {},
    startTurn: ({ number }) => {
      turns.push(`begin ${number}`);
      return (error) => turns.push(`end ${number}${error === undefined ? '' : ' with an error'}`);
    },
  });
  return { intake: taken, inbox, controller, book, turns };
}

describe('an intake', () => {
  it('makes a turn of each input, and records the end of one before it begins the next', async () => {
    const { intake: taken, inbox, book, turns } = intake();
    const receipts = ['a', 'b'].map((id) => inbox.send(id, id, 'queue'));
    inbox.close();
    for (const value of ['a', 'b']) expect(await taken.next()).toEqual({ value, done: false });
    expect(await taken.next()).toEqual({ value: undefined, done: true });
    expect(book).toEqual(['a turn 1 #1', 'a turn 1 #1 done', 'b turn 2 #1', 'b turn 2 #1 done']);
    expect(turns).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2']);
    expect((await Promise.all(receipts)).map(({ turn }) => turn)).toEqual([1, 2]);
  });

  it('records nothing of inputs without an id', async () => {
    const { intake: taken, inbox, book } = intake();
    void inbox.send('a', undefined, 'queue');
    await taken.next();
    await taken.endTurn();
    expect(book).toEqual([]);
  });

  it('passes over what the session has met before, and tells its sender', async () => {
    const known = { id: 'a', run: 'an earlier run', turn: 7, attempt: 1, done: true };
    const { intake: taken, inbox, turns } = intake(async (input) => (input.id === 'a' ? known : input));
    const first = inbox.send('a', 'a', 'queue');
    void inbox.send('b', 'b', 'queue');
    expect(await taken.next()).toEqual({ value: 'b', done: false });
    expect(await first).toEqual({ run: 'an earlier run', turn: 7, duplicate: true, steered: false });
    expect(turns).toEqual(['begin 1']);
  });

  it('replays at the next attempt, before all others', async () => {
    const { intake: taken, inbox, book } = intake();
    void inbox.send('new', undefined, 'queue');
    taken.replay([
      { id: 'x', run: 'dead', turn: 4, attempt: 1, done: false, input: 'x' },
      { id: 'y', run: 'dead', turn: 5, attempt: 3, done: false, input: 'y' },
    ]);
    const values = [];
    for (let index = 0; index < 3; index++) values.push((await taken.next()).value);
    expect(values).toEqual(['x', 'y', 'new']);
    expect(taken.turn?.attempt).toBe(1);
    expect(book).toEqual(['x turn 1 #2', 'x turn 1 #2 done', 'y turn 2 #4', 'y turn 2 #4 done']);
  });

  it('tells the sender what the store says, and throws it to the handler; the next one is taken all the same', async () => {
    const failure = new AgentFlowError('STORE_FAILED', 'gone');
    let fails = true;
    const { intake: taken, inbox } = intake((input) => (fails ? Promise.reject(failure) : Promise.resolve(input)));
    const sent = inbox.send('a', 'a', 'queue');
    expect(await errorOf(taken.next())).toBe(failure);
    expect(await errorOf(sent)).toBe(failure);
    fails = false;
    void inbox.send('b', 'b', 'queue');
    expect(await taken.next()).toEqual({ value: 'b', done: false });
  });

  it('throws to whoever waits when the end of a turn cannot be recorded, once', async () => {
    const failure = new AgentFlowError('STORE_FAILED', 'gone');
    const { intake: taken, inbox } = intake(async (input) => {
      if (input.done && input.id === 'a') throw failure;
      return input;
    });
    for (const id of ['a', 'b']) void inbox.send(id, id, 'queue');
    await taken.next();
    expect(await errorOf(taken.endTurn())).toBe(failure);
    expect(await taken.next()).toEqual({ value: 'b', done: false });
    await taken.finish();
  });

  it('takes nothing after its end, and waits there for what is being written', async () => {
    const gate = new Gate();
    const {
      intake: taken,
      inbox,
      turns,
    } = intake(async (input) => {
      await gate.opened;
      return input;
    });
    const sent = inbox.send('a', 'a', 'queue');
    const unread = taken.next();
    await quiet();
    const over = new AgentFlowError('CONNECTION_CLOSED', 'over');
    taken.end(over);
    const finished = taken.finish();
    expect(await stateOf(finished)).toBe('pending');
    gate.open();
    await finished;
    expect(await unread).toEqual({ value: undefined, done: true });
    expect(await sent).toMatchObject({ turn: 1, duplicate: false });
    expect(turns).toEqual([]);
  });

  it('refuses at its end what no later run would know of', async () => {
    const { intake: taken, inbox, controller } = intake(undefined, false);
    const sent = inbox.send('a', 'a', 'queue');
    const unread = taken.next();
    const abort = new AgentFlowError('RUN_ABORTED', 'enough');
    controller.abort(abort);
    expect(await errorOf(unread)).toBe(abort);
    expect(await errorOf(sent)).toBe(abort);
  });

  it('answers those who ask at once one after the other, each when the turn before it has ended', async () => {
    const { intake: taken, inbox, turns } = intake();
    const asked = [taken.next(), taken.next(), taken.next()];
    for (const input of ['a', 'b']) void inbox.send(input, undefined, 'queue');
    inbox.close();
    const done = { value: undefined, done: true };
    expect(await Promise.all(asked)).toEqual([{ value: 'a', done: false }, { value: 'b', done: false }, done]);
    expect(turns).toEqual(['begin 1', 'end 1', 'begin 2', 'end 2']);
    expect(await taken.next()).toEqual(done);
  });

  it('fails silently for who has asked and does not look, and goes on', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    const failure = new AgentFlowError('STORE_FAILED', 'no disk');
    const { intake: taken, inbox } = intake(async (input) => {
      if (input.id === 'b') return input;
      throw failure;
    });
    const receipts = ['a', 'a2', 'b'].map((id) => inbox.send(id, id, 'queue'));
    void taken.next();
    void taken.next();
    await quiet();
    expect(await taken.next()).toEqual({ value: 'b', done: false });
    expect([await errorOf(receipts[0] as never), await errorOf(receipts[1] as never)]).toEqual([failure, failure]);
    await quiet();
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });

  it('refuses an input without an id that came too late', async () => {
    const { intake: taken, inbox, controller } = intake();
    const sent = inbox.send('a', undefined, 'queue');
    const reading = taken.next();
    const over = new AgentFlowError('RUN_ABORTED', 'over');
    controller.abort(over);
    expect(await errorOf(reading)).toBe(over);
    expect(await errorOf(sent)).toBe(over);
  });
});
