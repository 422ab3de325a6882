/** Heartbeat: observations gather; a tick gives them a turn when there are enough. What comes during a turn waits for it. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply, prompt } from 'genkitx-agent/host';

type Beat = { readonly saw: string } | 'tick';
const minBatch = 2;

const observer = defineBehaviour({
  init: () => ({ state: { seen: [] as string[], skipped: 0, notes: [] as string[] } }),
  handleEvent(beat: Beat, state) {
    if (beat !== 'tick') return noreply({ ...state, seen: [...state.seen, beat.saw] });
    if (state.seen.length < minBatch) return noreply({ ...state, skipped: state.skipped + 1 });
    return prompt(`Think about: ${state.seen.join(', ')}`, { ...state, seen: [] });
  },
  handleResponse: (_ref, { text }, state) => noreply({ ...state, notes: [...state.notes, text] }),
});

const host = createAgentHost();
let thinks: () => void = () => {};
const thinking = new Promise<void>((resolve) => {
  thinks = resolve;
});
const during = async ({ text }: { text: string }) => {
  // Observations and a tick while the agent thinks: kept, and handled when it has.
  for (const saw of ['c', 'd']) await host.notify('observer', { saw });
  await host.notify('observer', 'tick');
  thinks();
  return text;
};
const backend = scriptedBackend({ turns: [during, ({ text }) => text] });
await host.start(observer, { name: 'observer', backend });

let turns = 0;
const both = new Promise<void>((resolve) =>
  host.observe(({ type }) => type === 'turn.stop' && ++turns === 2 && resolve()),
);
// In a real program a timer ticks: setInterval(() => host.notify('observer', 'tick'), 60_000).
await host.notify('observer', { saw: 'a' });
await host.notify('observer', 'tick');
await host.notify('observer', { saw: 'b' });
await host.notify('observer', 'tick');
await thinking;
await both;

assert.deepEqual((await host.status('observer')).agentState, {
  seen: [],
  skipped: 1,
  notes: ['Think about: a, b', 'Think about: c, d'],
});
await host.close();
