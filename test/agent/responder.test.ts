import { describe, expect, it } from 'vitest';
import { z } from '../../schemas/zod.js';
import { type ResponderParts, RunResponder } from '../../src/agent/responder.js';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { collect, errorOf, quiet } from '../support/waiting.js';

function responder(streamSchema: z.ZodTypeAny, rest: Partial<ResponderParts<unknown>> = {}) {
  const outbox = new Outbox<unknown>('run', { maxBufferedChunks: 2, replayChunks: 10 });
  const sent: unknown[] = [];
  const parts: ResponderParts<unknown> = {
    outbox,
    streamSchema,
    assertMaySend: () => {},
    sent: (chunk) => void sent.push(chunk),
    endTurn: async () => outbox.endTurn(false),
    ...rest,
  };
  return { responder: new RunResponder<unknown, unknown>(parts), outbox, sent };
}

describe('a responder', () => {
  it('sends chunks as the schema gives them back', async () => {
    const {
      responder: respond,
      outbox,
      sent,
    } = responder(z.object({ n: z.coerce.number(), s: z.string().default('x') }));
    void respond.send({ n: '5', extra: true });
    await respond.endTurn();
    expect(await collect(outbox.receive())).toEqual([{ n: 5, s: 'x' }]);
    expect(sent).toEqual([{ n: 5, s: 'x' }]);
  });

  it('refuses a chunk that does not fit, at once and with its path; nothing is sent', async () => {
    const { responder: respond, outbox, sent } = responder(z.object({ n: z.number() }));
    expect(() => void respond.send({ n: 'x' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_VALUE',
        kind: 'chunk',
        issues: [{ path: 'n', expected: 'number', received: 'string' }],
      }),
    );
    await respond.endTurn();
    expect([await collect(outbox.receive()), sent]).toEqual([[], []]);
  });

  it('sends nothing when nothing may be said', () => {
    const over = new AgentFlowError('RUN_ENDED', 'over');
    const assertMaySend = () => {
      throw over;
    };
    const { responder: respond, sent } = responder(z.unknown(), { assertMaySend });
    expect(() => void respond.send(1)).toThrow(over);
    expect(sent).toEqual([]);
  });

  it('answers a failing endTurn with its rejection, and is silent when nobody listens', async () => {
    const over = new AgentFlowError('RUN_ENDED', 'over');
    const { responder: respond } = responder(z.unknown(), { endTurn: () => Promise.reject(over) });
    void respond.endTurn();
    await quiet();
    expect(await errorOf(respond.endTurn())).toBe(over);
  });
});
