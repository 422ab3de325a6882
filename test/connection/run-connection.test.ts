import { describe, expect, it } from 'vitest';
import { Inbox } from '../../src/connection/inbox.js';
import { Outbox } from '../../src/connection/outbox.js';
import { RunConnection } from '../../src/connection/run-connection.js';
import { AgentFlowError, InvalidValueError } from '../../src/errors.js';
import { collect, errorOf, quiet, stateOf } from '../support/waiting.js';

function connect() {
  const inbox = new Inbox<unknown>(10);
  const outbox = new Outbox<string>('run', { maxBufferedChunks: 4, replayChunks: 100 });
  const aborts: AgentFlowError[] = [];
  const checkInput = (input: string): string => {
    if (typeof input === 'string') return input.trim();
    throw new InvalidValueError('input', [{ path: '', expected: 'string', received: typeof input }]);
  };
  const onAbort = (error: AgentFlowError) => void aborts.push(error);
  const parts = { sessionId: 's', policy: 'queue', inbox, outbox, checkInput, onAbort } as const;
  return { conn: new RunConnection<string, string, string>(parts), parts, inbox, outbox, aborts };
}

function nextIn(inbox: Inbox<unknown>): Promise<unknown> {
  return new Promise((resolve) => inbox.take({ taken: (entry) => resolve(entry?.input) }));
}

const failure = new AgentFlowError('HANDLER_FAILED', 'broke');

describe('a connection', () => {
  it('sends what the check makes of an input, and nothing that it refuses', async () => {
    const { conn, inbox } = connect();
    expect(() => conn.send(5 as never)).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }));
    void conn.send(' a ');
    expect(await nextIn(inbox)).toBe('a');
  });

  it.each([null, 5, {}, { run: 'run', turn: 'a', seq: 0, attempt: 1 }])('is not watched from %o', (after) => {
    const { conn } = connect();
    expect(() => conn.watch({ after: after as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_VALUE', kind: 'option' }),
    );
  });

  it.each([null, 1n, 'later', Symbol('queue'), { toJSON: () => 'queue' }])(
    'sends nothing by the policy %o',
    (policy) => {
      const { conn } = connect();
      expect(() => conn.send('a', { policy: policy as never })).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE', kind: 'option' }),
      );
    },
  );

  it('has its output once the run has it, also when asked for long after', async () => {
    const { conn } = connect();
    const early = conn.output();
    expect(await stateOf(early)).toBe('pending');
    conn.succeed('result');
    conn.fail(failure);
    expect([await early, await conn.output()]).toEqual(['result', 'result']);
    expect(await conn.done).toEqual({ sessionId: 's', finishReason: 'stop' });
  });

  it('tells its run of its end once, before anybody else', async () => {
    for (const end of ['succeed', 'fail'] as const) {
      const told: string[] = [];
      const { parts } = connect();
      const conn = new RunConnection<string, string, string>({ ...parts, onEnded: () => told.push('run') });
      void conn.done.then(({ finishReason }) => told.push(finishReason));
      if (end === 'succeed') conn.succeed('result');
      else conn.fail(failure);
      conn.abort();
      expect(told).toEqual(['run']);
      await quiet();
      expect(told).toEqual(['run', end === 'succeed' ? 'stop' : 'failed']);
    }
  });

  it('fails everywhere with one error, the first', async () => {
    const { conn, aborts } = connect();
    const sent = conn.send('a');
    const reading = conn.receive().next();
    conn.fail(failure);
    conn.fail(new AgentFlowError('RUN_ABORTED', 'later'), 'aborted');
    conn.succeed('too late');
    for (const promise of [sent, reading, conn.output(), conn.receive().next(), conn.watch().next()]) {
      expect(await errorOf(promise)).toBe(failure);
    }
    expect(await conn.done).toEqual({ sessionId: 's', finishReason: 'failed', error: failure });
    expect(aborts).toEqual([failure]);
  });

  it('aborts with the reason as cause, telling the run before anybody else', async () => {
    const { conn, aborts } = connect();
    conn.abort({ why: 'enough' });
    expect(aborts).toMatchObject([{ code: 'RUN_ABORTED', cause: { why: 'enough' } }]);
    expect(await conn.done).toMatchObject({ finishReason: 'aborted' });
  });

  it('closes without ending, and asking for the output closes nothing', async () => {
    const { conn, inbox, outbox } = connect();
    void conn.output();
    void conn.send('a');
    expect(inbox.isClosed).toBe(false);
    conn.close();
    expect(await stateOf(conn.done)).toBe('pending');
    expect(() => conn.send('b')).toThrow(expect.objectContaining({ code: 'CONNECTION_CLOSED' }));
    expect(await nextIn(inbox)).toBe('a');
    await outbox.send('answer');
    conn.succeed('result');
    expect(await collect(conn.receive())).toEqual(['answer']);
  });

  it('is disposed when the run has ended, whatever nobody reads', async () => {
    const { conn, outbox, inbox } = connect();
    const disposed = conn[Symbol.asyncDispose]();
    expect(inbox.isClosed).toBe(true);
    for (let chunk = 0; chunk < 100; chunk++) await outbox.send('unread');
    expect(await stateOf(disposed)).toBe('pending');
    conn.fail(failure);
    await disposed;
  });

  it('reads all turns as one when asked to', async () => {
    const { conn, outbox } = connect();
    const all = collect(conn.receiveAll());
    for (const chunk of ['a', 'b']) {
      void outbox.send(chunk);
      outbox.endTurn(false);
      await quiet();
    }
    conn.succeed('result');
    expect(await all).toEqual(['a', 'b']);
  });
});
