/** Retry: `handleError` prompts again under the same ref, so that the caller waits on and sees one answer. */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply, prompt } from 'genkitx-agent/host';

const maxAttempts = 3;
const firstDelayMs = 1;

const stubborn = defineBehaviour({
  init: () => ({ state: { retries: 0 } }),
  handleResponse: (_ref, _response, state) => noreply(state),
  async handleError(_ref, { code, details }, state, { attempt, prompt: asked }) {
    const failure = (details ?? {}) as { retryable?: boolean; retryAfterMs?: number };
    const isWorthIt = code === 'BACKEND_FAILED' && failure.retryable;
    if (!isWorthIt || attempt >= maxAttempts) return noreply(state);
    // A callback may wait as long as it likes: status, poll and tell go on.
    await setTimeout(failure.retryAfterMs ?? firstDelayMs * 2 ** (attempt - 1));
    return prompt(asked, { retries: state.retries + 1 });
  },
});

const failure = (kind: 'overloaded' | 'authentication') => [
  {
    type: 'error' as const,
    error: { provider: 'vendor', kind, retryable: kind === 'overloaded', message: kind, raw: undefined },
  },
];
const backend = scriptedBackend({
  turns: [failure('overloaded'), failure('overloaded'), 'at last', failure('authentication')],
});
const host = createAgentHost();
await host.start(stubborn, { name: 'stubborn', backend });

const attempts: number[] = [];
host.observe((event) => {
  if (event.type === 'turn.start') attempts.push(event.attempt);
});
assert.equal((await host.ask('stubborn', 'Try.')).text, 'at last');
assert.deepEqual(attempts, [1, 2, 3]);
await assert.rejects(host.ask('stubborn', 'Again.'), { code: 'BACKEND_FAILED', message: 'authentication' });
assert.deepEqual((await host.status('stubborn')).agentState, { retries: 2 });
await host.close();
