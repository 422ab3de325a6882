/** What tests of the tool loop share: scenarios in short, and a result without what differs from run to run. */
import type { SessionResult } from '../../src/backends/tool-loop.js';
import type { ScriptedProviderStep } from '../../src/providers/scripted.js';

export const modes = ['streaming', 'request_response'] as const;

export const text = (said: string): ScriptedProviderStep => ({ type: 'text', text: said });

export const tool = (id: string, name = 'look_up', input: unknown = { id }): ScriptedProviderStep => ({
  type: 'tool',
  id,
  name,
  input,
});

export const usage = (inputTokens: number, outputTokens = 0): ScriptedProviderStep => ({
  type: 'usage',
  usage: { inputTokens, outputTokens },
});

export const stop = (
  terminal: 'end_turn' | 'requires_action' | 'terminated',
  reason?: string,
): ScriptedProviderStep => ({
  type: 'stop',
  terminal,
  ...(reason === undefined ? {} : { reason }),
});

export const drop = (how: 'end' | 'error' = 'end'): ScriptedProviderStep => ({ type: 'drop', how });

export const wait = (until: PromiseLike<unknown>): ScriptedProviderStep => ({ type: 'wait', until });

export interface Call {
  readonly name: string;
  readonly input: unknown;
  readonly callId: string;
}

/** A handler that notes what it was called with. */
export function noting(calls: Call[], answer: (call: Call) => unknown = ({ name }) => `${name} done`) {
  return (name: string, input: unknown, _context: unknown, { callId }: { readonly callId: string }) => {
    const call = { name, input, callId };
    calls.push(call);
    return answer(call);
  };
}

/** A result without what differs from run to run. */
export function comparable({ durationMs: _, ...result }: SessionResult): unknown {
  return JSON.parse(JSON.stringify(result).replaceAll(result.sessionId, 'session'));
}
