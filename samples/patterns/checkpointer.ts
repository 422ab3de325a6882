/** Checkpointer: after each step a human says go on, do it again, or enough. It waits idle: idle is resumable, halted is over. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, noreply, prompt } from 'genkitx-agent/host';

type Review =
  | { readonly kind: 'approve' }
  | { readonly kind: 'revise'; readonly hint: string }
  | { readonly kind: 'finish' };
const steps = ['outline', 'draft'];

const writer = defineBehaviour({
  init: () => ({ state: { phase: 'working', step: 0, work: [] as string[] } }),
  handleResponse: (_ref, { text }, state) =>
    noreply({ ...state, phase: 'awaiting review', work: [...state.work.slice(0, state.step), text] }),
  handleEvent(review: Review, state) {
    if (state.phase !== 'awaiting review') return noreply(state);
    if (review.kind === 'finish') return halt({ ...state, phase: 'finished' });
    const step = review.kind === 'approve' ? state.step + 1 : state.step;
    const hint = review.kind === 'revise' ? `, ${review.hint}` : '';
    if (step === steps.length) return halt({ ...state, phase: 'finished' });
    return prompt(`Write the ${steps[step]}${hint}`, { ...state, step, phase: 'working' });
  },
});

const write = ({ text }: { text: string }) => text.replace('Write the ', '');
const backend = scriptedBackend({ turns: [write, write, write] });
const host = createAgentHost();
await host.start(writer, { name: 'writer', backend });

/** Says what is to be done, and waits until it is. */
async function review(event: Review): Promise<void> {
  let leave = () => {};
  const done = new Promise<void>((resolve) => {
    leave = host.observe(({ type }) => ['turn.stop', 'turn.error', 'halted'].includes(type) && resolve());
  });
  await host.notify('writer', event);
  await done;
  leave();
}

await host.ask('writer', 'Write the outline');
assert.equal((await host.status('writer')).halted, false);
await review({ kind: 'revise', hint: 'shorter' });
await review({ kind: 'approve' });
await review({ kind: 'approve' });
const { halted, agentState } = await host.status('writer');
assert.equal(halted, true);
assert.deepEqual(agentState, { phase: 'finished', step: 1, work: ['outline, shorter', 'draft'] });
await host.close();
