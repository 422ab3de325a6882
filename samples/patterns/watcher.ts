/** Watcher: idle until something is notified; most of it is not worth a turn. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply, prompt } from 'genkitx-agent/host';

interface Build {
  readonly branch: string;
  readonly passed: boolean;
}

const watcher = defineBehaviour({
  init: () => ({ state: { ignored: 0, reports: [] as string[] } }),
  handleEvent({ branch, passed }: Build, state) {
    if (passed) return noreply({ ...state, ignored: state.ignored + 1 });
    return prompt(`Why did ${branch} fail?`, state);
  },
  handleResponse: (_ref, { text }, state) => noreply({ ...state, reports: [...state.reports, text] }),
});

const look = ({ text }: { text: string }) => `looked into: ${text}`;
const backend = scriptedBackend({ turns: [look, look] });
const host = createAgentHost();
await host.start(watcher, { name: 'watcher', backend });

let answered = 0;
const all = new Promise<void>((resolve) =>
  host.observe(({ type }) => type === 'turn.stop' && ++answered === 2 && resolve()),
);
for (const [branch, passed] of [
  ['main', true],
  ['fix', false],
  ['docs', true],
  ['perf', false],
] as const)
  await host.notify('watcher', { branch, passed });
await all;

assert.deepEqual((await host.status('watcher')).agentState, {
  ignored: 2,
  reports: ['looked into: Why did fix fail?', 'looked into: Why did perf fail?'],
});
await host.close();
