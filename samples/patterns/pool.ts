/** Pool: workers of one kind behind a facade that deals out the work; a busy one keeps it in its mailbox. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply } from 'genkitx-agent/host';

const worker = defineBehaviour({
  init: () => ({ state: { done: 0 } }),
  handleResponse: (_ref, _response, { done }) => noreply({ done: done + 1 }),
});

const host = createAgentHost();
const names = ['worker 1', 'worker 2', 'worker 3'];
const shout = ({ text }: { text: string }) => text.toUpperCase();
for (const name of names)
  await host.start(worker, { name, backend: scriptedBackend({ turns: [shout, shout, shout] }) });

let dealt = 0;
async function submit(work: string): Promise<{ readonly name: string; readonly ref: string }> {
  const name = names[dealt++ % names.length] ?? '';
  return { name, ref: await host.tell(name, work) };
}

const jobs = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(submit));
const results = await Promise.all(jobs.map(({ name, ref }) => host.await(name, ref)));
assert.deepEqual(
  results.map(({ text }) => text),
  ['A', 'B', 'C', 'D', 'E', 'F', 'G'],
);
const done = await Promise.all(names.map(async (name) => (await host.status(name)).agentState));
assert.deepEqual(done, [{ done: 3 }, { done: 2 }, { done: 2 }]);
await host.close();
