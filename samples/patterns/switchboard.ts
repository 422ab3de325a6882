/** Switchboard: a human drives a named fleet, looks into an inbox, and never waits. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply } from 'genkitx-agent/host';

const session = defineBehaviour({
  init: () => ({ state: { transcript: [] as string[] } }),
  handleResponse: (_ref, { text }, state) => noreply({ transcript: [...state.transcript, text] }),
});

const host = createAgentHost();
for (const name of ['frontend', 'backend']) {
  const backend = scriptedBackend({
    turns: [({ text }) => `${name} did: ${text}`, ({ text }) => `${name} did: ${text}`],
  });
  await host.start(session, { name, backend });
}

/** Refuses to queue: a busy line says so. */
async function send(name: string, text: string): Promise<string> {
  const { state, halted } = await host.status(name);
  if (halted) return 'halted';
  return state === 'processing' ? 'busy' : host.tell(name, text);
}

const refs = [await send('frontend', 'the button'), await send('backend', 'the query')];
assert.equal(await send('frontend', 'another'), 'busy');
await Promise.all([host.await('frontend', refs[0] ?? ''), host.await('backend', refs[1] ?? '')]);

const inbox = await Promise.all((await host.list()).map(async (name) => (await host.lastResult(name))?.result));
assert.deepEqual(inbox, ['frontend did: the button', 'backend did: the query']);

await host.halt('frontend');
assert.equal(await send('frontend', 'more'), 'halted');
await host.resume('frontend');
await host.ask('frontend', 'more');
assert.deepEqual((await host.status('frontend')).agentState, {
  transcript: ['frontend did: the button', 'frontend did: more'],
});
await host.close();
