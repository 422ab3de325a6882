/** Debate: two agents of one behaviour answer each other by `notify`, for so many rounds, then both halt. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, noreply, prompt } from 'genkitx-agent/host';

type Said = { readonly said: string } | 'over';
const rounds = 2;

const host = createAgentHost();

const debater = defineBehaviour({
  init: ({ opponent }: { opponent: string }) => ({ state: { opponent, spoke: 0, heard: [] as string[] } }),
  async handleResponse(_ref, { text }, state) {
    const spoke = state.spoke + 1;
    await host.notify(state.opponent, { said: text });
    if (spoke < rounds || state.heard.length < rounds) return noreply({ ...state, spoke });
    await host.notify(state.opponent, 'over');
    return halt({ ...state, spoke });
  },
  handleEvent(event: Said, state) {
    if (event === 'over') return halt(state);
    const heard = [...state.heard, event.said];
    return state.spoke < rounds ? prompt(`Answer: ${event.said}`, { ...state, heard }) : noreply({ ...state, heard });
  },
});

const sides = { pro: 'con', con: 'pro' } as const;
for (const [name, opponent] of Object.entries(sides)) {
  const backend = scriptedBackend({ turns: [`${name} 1`, `${name} 2`] });
  await host.start(debater, { name, backend, args: { opponent } });
}

let halts = 0;
const over = new Promise<void>((resolve) =>
  host.observe(({ type }) => type === 'halted' && ++halts === 2 && resolve()),
);
await host.tell('pro', 'Agents are processes. Open the debate.');
await over;

const [pro, con] = await Promise.all(Object.keys(sides).map(async (name) => (await host.status(name)).agentState));
assert.deepEqual(pro, { opponent: 'con', spoke: 2, heard: ['con 1', 'con 2'] });
assert.deepEqual(con, { opponent: 'pro', spoke: 2, heard: ['pro 1', 'pro 2'] });
assert.ok(host.graph().some(({ from, to, kind }) => from === 'pro' && to === 'con' && kind === 'notify'));
await host.close();
