import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostEvent } from '../../src/host/host.js';
import { eventLine } from '../../src/terminal/event-line.js';
import { widthOf } from '../../src/terminal/text.js';
import { afternoon } from './harness.js';

const ref = 'f988e4b8-baba-4060-b167-a3ccd6436a8e';
const by = { agent: 'writer', at: afternoon };
const turn = { ...by, ref, attempt: 1, origin: 'tell' } as const;
const sums = { durationMs: 1_234, inputTokens: 120, outputTokens: 30, costUsd: 0.0123 };
const error = { provider: 'x', kind: 'server', message: 'm', retryable: false, raw: undefined } as const;

/** Each type of event, and what is told of it behind time and name. */
const told: readonly (readonly [HostEvent, string])[] = [
  [{ ...by, type: 'agent.started', resumed: false }, 'agent.started    anew'],
  [{ ...by, type: 'agent.started', resumed: true }, 'agent.started    as it was remembered'],
  [{ ...turn, type: 'turn.start' }, 'turn.start       f988e4b8, tell'],
  [{ ...turn, type: 'turn.start', attempt: 2 }, 'turn.start       f988e4b8, tell, attempt 2'],
  [{ ...turn, type: 'prompt.start', rewritten: true }, 'prompt.start     f988e4b8, rewritten'],
  [{ ...turn, type: 'prompt.start', rewritten: false, prompt: 'Go\non' }, 'prompt.start     f988e4b8, "Go\\non"'],
  [{ ...turn, type: 'prompt.start', rewritten: false, prompt: [{ text: 'a' }] }, 'prompt.start     f988e4b8, parts'],
  [{ ...turn, type: 'prompt.stop', durationMs: 20 }, 'prompt.stop      f988e4b8, 20 ms'],
  [
    { ...turn, type: 'prompt.error', code: 'TURN_TIMEOUT', durationMs: 20 },
    'prompt.error     f988e4b8, TURN_TIMEOUT, 20 ms',
  ],
  [{ ...turn, type: 'turn.stop', ...sums }, 'turn.stop        f988e4b8, 1.2 s, 120 + 30 tokens, $0.0123'],
  [
    { ...turn, type: 'turn.error', code: 'BACKEND_FAILED', ...sums, inputTokens: 0, outputTokens: 0, costUsd: 0 },
    'turn.error       f988e4b8, BACKEND_FAILED, 1.2 s',
  ],
  [{ ...turn, type: 'turn.rejected', code: 'TURN_SKIPPED' }, 'turn.rejected    f988e4b8, TURN_SKIPPED'],
  [{ ...turn, type: 'turn.cancelled', by: 'caller' }, 'turn.cancelled   f988e4b8, by its caller'],
  [{ ...turn, type: 'turn.cancelled', by: 'signal' }, "turn.cancelled   f988e4b8, by its caller's signal"],
  [{ ...by, type: 'event.received', deferred: false, event: 'push' }, 'event.received   "push"'],
  [
    { ...by, type: 'event.received', deferred: true, event: { id: 1 } },
    'event.received   kept for the end of the turn, { id: 1 }',
  ],
  [{ ...by, type: 'state.changed', from: undefined, to: 'idle' }, 'state.changed    idle'],
  [{ ...by, type: 'state.changed', from: 'idle', to: 'processing' }, 'state.changed    idle → processing'],
  [{ ...by, type: 'mailbox.queued', depth: 1 }, 'mailbox.queued   1 prompt waits'],
  [{ ...by, type: 'mailbox.taken', depth: 0 }, 'mailbox.taken    0 prompts wait'],
  [{ ...by, type: 'halted' }, 'halted'],
  [{ ...by, type: 'resumed' }, 'resumed'],
  [{ ...by, type: 'session.lost' }, 'session.lost'],
  [{ ...by, type: 'input.rejected', input: 'ask', code: 'AGENT_OVERLOADED' }, 'input.rejected   ask, AGENT_OVERLOADED'],
  [
    { ...by, type: 'callback.failed', callback: 'postTurn', error: new TypeError('no') },
    'callback.failed  postTurn, no',
  ],
  [
    {
      ...by,
      type: 'stream.event',
      ref,
      kind: 'tool_use',
      event: { type: 'tool_use', id: '1', name: 'grep', input: {} },
    },
    'stream.event     f988e4b8, tool_use, grep',
  ],
  [
    { ...by, type: 'stream.event', ref, kind: 'error', event: { type: 'error', error } },
    'stream.event     f988e4b8, error',
  ],
  [{ ...by, type: 'restarting', attempt: 2, delayMs: 200 }, 'restarting       in 200 ms, restart 2'],
  [{ ...by, type: 'terminated', reason: 'stopped' }, 'terminated       stopped'],
  [{ ...by, type: 'terminated', reason: 'crashed', code: 'LEASE_LOST' }, 'terminated       crashed, LEASE_LOST'],
];

describe('an event on a line', () => {
  it.each(told.map(([event, line]) => ({ type: event.type, event, line })))('$type', ({ event, line }) => {
    expect(eventLine(event, 80)).toBe(`15:04:05  writer      ${line}`);
  });

  it('calls a ref what it is called here', () => {
    expect(eventLine({ ...turn, type: 'turn.start' }, 80, () => '#3')).toContain('  #3, tell');
  });

  it('tells what happened rather than when, where there is little room', () => {
    expect(eventLine({ ...turn, type: 'turn.start' }, 60)).toBe('15:04:05  writer    turn.start       f988e4b8, tell');
    expect(eventLine({ ...turn, type: 'turn.start' }, 42)).toBe('writer    turn.start       f988e4b8, tell');
  });

  it('fits, and does not steer the terminal, whatever it holds', () => {
    const hostile = fc.string({ unit: 'binary', maxLength: 200 });
    const anything = fc.anything({ withBigInt: true, withMap: true, withSet: true, withTypedArray: true });
    fc.assert(
      fc.property(
        fc.constantFrom(...told.map(([event]) => event)),
        fc.record({ agent: hostile, ref: hostile, prompt: hostile, event: anything, callback: hostile }),
        fc.integer({ min: 20, max: 100 }),
        (event, content, width) => {
          const own = Object.fromEntries(Object.entries(content).filter(([key]) => key in event));
          const line = eventLine(
            event.type === 'stream.event' ? { ...event, agent: content.agent } : ({ ...event, ...own } as HostEvent),
            width,
            (name) => name,
          );
          expect(widthOf(line)).toBeLessThanOrEqual(width);
          expect(line).not.toMatch(/\p{Cc}|[\u202a-\u202e]/u);
        },
      ),
    );
  });
});
