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
  const answer = ({ text }: { text: string }) => `${name} did: ${text}`;
  await host.start(session, { name, backend: scriptedBackend({ turns: [answer, answer] }) });
}

/** Refuses to queue: a busy line says so. */
async function send(name: string, text: string): Promise<{ readonly ref: string } | { readonly refused: string }> {
  const { state, halted } = await host.status(name);
  if (halted) return { refused: 'halted' };
  return state === 'processing' ? { refused: 'busy' } : { ref: await host.tell(name, text) };
}

const sent = { frontend: await send('frontend', 'the button'), backend: await send('backend', 'the query') };
assert.deepEqual(await send('frontend', 'another'), { refused: 'busy' });
for (const [name, one] of Object.entries(sent)) if ('ref' in one) await host.await(name, one.ref);

const inbox = await Promise.all((await host.list()).map(async (name) => (await host.lastResult(name))?.result));
assert.deepEqual(inbox, ['frontend did: the button', 'backend did: the query']);

await host.halt('frontend');
assert.deepEqual(await send('frontend', 'more'), { refused: 'halted' });
await host.resume('frontend');
await host.ask('frontend', 'more');
assert.deepEqual((await host.status('frontend')).agentState, {
  transcript: ['frontend did: the button', 'frontend did: more'],
});
await host.close();
