import { describe, expect, it } from 'vitest';
import { Inbox, type RunningTurn, type WaitingInput } from '../../src/connection/inbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { Deferred } from '../../src/internal/deferred.js';
import { errorOf, quiet, stateOf } from '../support/waiting.js';

const receipt = { run: 'run', turn: 1, duplicate: false, steered: false };

async function inputs(inbox: Inbox<string>, count: number): Promise<(string | undefined)[]> {
  const taken: (string | undefined)[] = [];
  for (let index = 0; index < count; index++) taken.push((await next(inbox))?.input);
  return taken;
}

/** A turn that notes what is done to it. */
function runningTurn(isListening: boolean): RunningTurn<string> & { interrupts: number; steered: string[] } {
  return {
    interrupts: 0,
    steered: [],
    isListening: () => isListening,
    interrupt() {
      this.interrupts += 1;
      return true;
    },
    steer({ input, receipt: told }) {
      this.steered.push(input);
      told.resolve({ ...receipt, steered: true });
    },
  };
}

/** The next entry, `undefined` when there will be none. */
function next<In>(inbox: Inbox<In>): Promise<WaitingInput<In> | undefined> {
  return new Promise((resolve) => inbox.take({ taken: resolve }));
}

function replayed(input: string, id: string): WaitingInput<string> {
  return { input, id, attempt: 2, receipt: new Deferred() };
}

describe('taking', () => {
  it('gives inputs in the order they were sent, also to takers that wait', async () => {
    const inbox = new Inbox<string>(10);
    const early = inputs(inbox, 2);
    for (const input of ['a', 'b', 'c', 'd']) void inbox.send(input, undefined, 'queue');
    expect(await early).toEqual(['a', 'b']);
    expect(await inputs(inbox, 2)).toEqual(['c', 'd']);
  });

  it('gives falsy inputs and undefined like every other', async () => {
    const inbox = new Inbox<unknown>(10);
    for (const input of ['', 0, false, null, undefined]) void inbox.send(input, undefined, 'queue');
    const entries = [];
    for (let index = 0; index < 5; index++) entries.push(await next(inbox));
    expect(entries).toMatchObject([{ input: '' }, { input: 0 }, { input: false }, { input: null }, { attempt: 1 }]);
  });

  it('still gives what was sent before it was closed, then undefined', async () => {
    const inbox = new Inbox<string>(10);
    void inbox.send('a', undefined, 'queue');
    inbox.close();
    expect(inbox.isClosed).toBe(true);
    expect(await inputs(inbox, 3)).toEqual(['a', undefined, undefined]);
  });

  it('lets go of whoever waits when it is closed', async () => {
    const inbox = new Inbox<string>(10);
    const waiting = next(inbox);
    inbox.close();
    expect(await waiting).toBeUndefined();
  });

  it('replays ahead of everything, whether closed or not', async () => {
    const inbox = new Inbox<string>(10);
    void inbox.send('new', undefined, 'queue');
    inbox.close();
    inbox.replay([replayed('first', '1'), replayed('second', '2')]);
    expect(await inputs(inbox, 4)).toEqual(['first', 'second', 'new', undefined]);
  });
});

describe('the end of the run', () => {
  it('refuses what nobody took, and silence about it is safe', async () => {
    const inbox = new Inbox<string>(10);
    const sent = inbox.send('a', undefined, 'queue');
    void inbox.send('ignored', undefined, 'queue');
    const error = new AgentFlowError('RUN_ABORTED', 'stopped');
    inbox.end(error);
    inbox.end(new AgentFlowError('CONNECTION_CLOSED', 'later'));
    expect(await errorOf(sent)).toBe(error);
    expect(inbox.closedBy).toBe(error);
    expect(await next(inbox)).toBeUndefined();
    await quiet();
  });
});

describe('ids', () => {
  it('answers the same id with the receipt of the first, as a duplicate', async () => {
    const inbox = new Inbox<string>(10);
    const first = inbox.send('a', 'id', 'queue');
    const second = inbox.send('a again', 'id', 'queue');
    expect(await stateOf(second)).toBe('pending');
    (await next(inbox))?.receipt.resolve(receipt);
    expect(await first).toEqual(receipt);
    expect(await second).toEqual({ ...receipt, duplicate: true });
    expect(await inbox.send('once more', 'id', 'queue')).toEqual({ ...receipt, duplicate: true });
    expect(await stateOf(next(inbox))).toBe('pending');
  });

  it('forgets the id of an input that was refused', async () => {
    const inbox = new Inbox<string>(1);
    void inbox.send('a', undefined, 'queue');
    expect(await errorOf(inbox.send('b', 'id', 'queue'))).toMatchObject({ code: 'INPUT_QUEUE_FULL' });
    await next(inbox);
    void inbox.send('b', 'id', 'queue');
    expect(await inputs(inbox, 1)).toEqual(['b']);
  });

  it('forgets the id of an input that was refused when it was taken', async () => {
    const inbox = new Inbox<string>(10);
    const first = inbox.send('a', 'id', 'queue');
    const failure = new AgentFlowError('STORE_FAILED', 'away');
    (await next(inbox))?.receipt.reject(failure);
    expect(await errorOf(first)).toBe(failure);
    void inbox.send('a again', 'id', 'queue');
    expect(await inputs(inbox, 1)).toEqual(['a again']);
  });

  it('knows the ids it replays', async () => {
    const inbox = new Inbox<string>(10);
    const entry = replayed('a', 'id');
    inbox.replay([entry]);
    const again = inbox.send('a', 'id', 'queue');
    entry.receipt.resolve(receipt);
    expect(await again).toEqual({ ...receipt, duplicate: true });
    expect(await inputs(inbox, 1)).toEqual(['a']);
    expect(await stateOf(next(inbox))).toBe('pending');
  });

  it('takes hostile ids as they are', async () => {
    const inbox = new Inbox<string>(10);
    const ids = ['__proto__', 'constructor', '', '../../etc', '\u0000'];
    for (const id of ids) void inbox.send(id, id, 'queue');
    expect(await inputs(inbox, ids.length)).toEqual(ids);
  });

  it('remembers a bounded number of them where a store knows the rest', async () => {
    const inbox = new Inbox<string>(10, 2);
    for (const id of ['0', '1', '2']) void inbox.send('a', id, 'queue');
    void inbox.send('again', '2', 'queue');
    void inbox.send('forgotten', '0', 'queue');
    expect((await inputs(inbox, 4)).slice(-2)).toEqual(['a', 'forgotten']);
  });

  it('remembers all of them where nobody else does', async () => {
    const inbox = new Inbox<string>(10_001);
    for (let id = 0; id < 10_001; id++) void inbox.send('a', String(id), 'queue');
    // A new one would be refused, as the line is full.
    expect(await stateOf(inbox.send('again', '0', 'queue'))).toBe('pending');
  });
});

describe('the end', () => {
  it('refuses all that wait; thousands of them a part at a time', async () => {
    const inbox = new Inbox<string>(10_000);
    const sent = Array.from({ length: 2_500 }, () => inbox.send('a', undefined, 'queue'));
    const error = new AgentFlowError('RUN_ABORTED', 'stopped');
    let refused = 0;
    for (const receipt of sent) receipt.catch(() => (refused += 1));
    inbox.end(error);
    await Promise.resolve();
    expect(refused).toBe(1_000);
    for (const outcome of await Promise.allSettled(sent))
      expect(outcome).toEqual({ status: 'rejected', reason: error });
  });
});

describe('policies', () => {
  it('queue: waits in line, up to the bound', async () => {
    const inbox = new Inbox<string>(2);
    inbox.turnStarted(runningTurn(true));
    for (const input of ['a', 'b']) void inbox.send(input, undefined, 'queue');
    for (const policy of ['queue', 'interrupt', 'steer'] as const) {
      const quietTurn = runningTurn(false);
      inbox.turnStarted(quietTurn);
      expect(await errorOf(inbox.send('c', undefined, policy))).toMatchObject({
        code: 'INPUT_QUEUE_FULL',
        status: 'RESOURCE_EXHAUSTED',
      });
      expect(quietTurn.interrupts).toBe(0);
    }
    expect(await inputs(inbox, 2)).toEqual(['a', 'b']);
  });

  it('reject: refuses while a turn runs, while one starts, and while others wait', async () => {
    const inbox = new Inbox<string>(10);
    const busy = () => errorOf(inbox.send('b', undefined, 'reject'));
    void inbox.send('a', undefined, 'reject');
    expect(await busy()).toMatchObject({ code: 'TURN_BUSY', status: 'UNAVAILABLE' });
    await next(inbox);
    expect(await busy()).toMatchObject({ code: 'TURN_BUSY' });
    inbox.turnStarted(runningTurn(false));
    expect(await busy()).toMatchObject({ code: 'TURN_BUSY' });
    inbox.turnEnded();
    void inbox.send('c', undefined, 'reject');
    expect(await inputs(inbox, 1)).toEqual(['c']);
  });

  it('reject: takes it when the input before turned out to need no turn', async () => {
    const inbox = new Inbox<string>(10);
    void inbox.send('a', undefined, 'queue');
    await next(inbox);
    const waiting = next(inbox);
    void inbox.send('b', undefined, 'reject');
    expect((await waiting)?.input).toBe('b');
  });

  it('steer: hands it to a turn that listens, else waits in line', async () => {
    const inbox = new Inbox<string>(10);
    const listening = runningTurn(true);
    inbox.turnStarted(listening);
    expect(await inbox.send('left', undefined, 'steer')).toEqual({ ...receipt, steered: true });
    expect(listening.steered).toEqual(['left']);
    inbox.turnStarted(runningTurn(false));
    void inbox.send('right', undefined, 'steer');
    inbox.turnEnded();
    void inbox.send('straight on', undefined, 'steer');
    expect(await inputs(inbox, 2)).toEqual(['right', 'straight on']);
  });

  it('steer: puts in line what the turn could not take any more, and refuses it after the end', async () => {
    const inbox = new Inbox<string>(10);
    let miss = (): void => {};
    const turn = {
      ...runningTurn(true),
      steer: (entry: WaitingInput<string>, missed: (e: WaitingInput<string>) => void) => {
        miss = () => missed(entry);
      },
    };
    inbox.turnStarted(turn);
    void inbox.send('a', undefined, 'steer');
    inbox.close();
    miss();
    expect(await inputs(inbox, 1)).toEqual(['a']);
    const late = new Inbox<string>(10);
    late.turnStarted(turn);
    const refused = late.send('b', undefined, 'steer');
    const error = new AgentFlowError('RUN_ABORTED', 'stopped');
    late.end(error);
    miss();
    expect(await errorOf(refused)).toBe(error);
  });

  it('interrupt: cuts the running turn short and is next, before all that wait', async () => {
    const inbox = new Inbox<string>(10);
    const turn = runningTurn(true);
    inbox.turnStarted(turn);
    void inbox.send('a', undefined, 'queue');
    void inbox.send('now', undefined, 'interrupt');
    expect(turn.interrupts).toBe(1);
    expect(await inputs(inbox, 2)).toEqual(['now', 'a']);
  });

  it('interrupt: several of them keep the order they were sent in', async () => {
    const inbox = new Inbox<string>(10);
    inbox.turnStarted(runningTurn(false));
    void inbox.send('later', undefined, 'queue');
    for (const input of ['first', 'second']) void inbox.send(input, undefined, 'interrupt');
    expect(await inputs(inbox, 3)).toEqual(['first', 'second', 'later']);
  });

  it('interrupt: cuts short the turn that is about to start', async () => {
    const inbox = new Inbox<string>(10);
    void inbox.send('a', undefined, 'queue');
    await next(inbox);
    void inbox.send('now', undefined, 'interrupt');
    const turn = runningTurn(false);
    inbox.turnStarted(turn);
    expect(turn.interrupts).toBe(1);
    inbox.turnEnded();
    await next(inbox);
    const second = runningTurn(false);
    inbox.turnStarted(second);
    expect(second.interrupts).toBe(0);
  });
});
