/** Supervisor: plans, starts a worker for every part from its own callback, gathers what they found, and sums up. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, noreply, prompt } from 'genkitx-agent/host';

type Report = { readonly worker: string; readonly found: string | undefined };

const host = createAgentHost();

const worker = defineBehaviour({
  init: ({ boss }: { boss: string }) => ({ state: { boss } }),
  handleEvent: (task: string, state) => prompt(task, state),
  async handleResponse(_ref, { text }, state) {
    await host.notify(state.boss, { worker: host.currentName(), found: text });
    return halt(state);
  },
  async handleError(_ref, _error, state) {
    await host.notify(state.boss, { worker: host.currentName(), found: undefined });
    return halt(state);
  },
});

const supervisor = defineBehaviour({
  init: () => ({ state: { phase: 'planning', missing: 0, found: [] as string[], answer: '' } }),
  async handleResponse(_ref, { text }, state) {
    if (state.phase === 'summing up') return halt({ ...state, phase: 'done', answer: text });
    const tasks = text.split(', ');
    for (const task of tasks) {
      const fails = task === 'bugs';
      const turns = [fails ? { refuses: new TypeError('broken') } : `${task} found`];
      await host.start(worker, {
        name: `worker on ${task}`,
        backend: scriptedBackend({ turns }),
        args: { boss: 'boss' },
      });
      await host.notify(`worker on ${task}`, task);
    }
    return noreply({ ...state, phase: 'waiting', missing: tasks.length });
  },
  handleEvent({ found }: Report, before) {
    const state = { ...before, missing: before.missing - 1, found: found ? [...before.found, found] : before.found };
    if (state.missing > 0) return noreply(state);
    if (state.found.length === 0) return halt({ ...state, phase: 'failed' });
    return prompt(`Sum up: ${[...state.found].sort().join(', ')}`, { ...state, phase: 'summing up' });
  },
});

const backend = scriptedBackend({ turns: ['docs, bugs, tests', ({ text }) => text] });
await host.start(supervisor, { name: 'boss', backend });
const done = new Promise<void>((resolve) =>
  host.observe(({ type, agent }) => type === 'halted' && agent === 'boss' && resolve()),
);
await host.tell('boss', 'Review the package.');
await done;

const { agentState } = await host.status('boss');
assert.equal((agentState as { answer: string }).answer, 'Sum up: docs found, tests found');
assert.equal((await host.list()).length, 4);
await host.close();
