/** A process of its own that hosts two agents, and is killed in the middle of a turn. */
import { writeSync } from 'node:fs';
import { type ScriptedTurn, scriptedBackend } from '../../src/backends/scripted.js';
import { createAgentHost } from '../../src/host/host.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { listener, settled } from './harness.js';

const store = new SqliteSessionStore({ path: process.argv[2] ?? '' });
const host = createAgentHost({ store });

const one: ScriptedTurn = [
  { type: 'session', sessionId: 'session of busy' },
  { type: 'text', text: 'one' },
  { type: 'result', sessionId: 'session of busy' },
];
const held: ScriptedTurn = [new Promise<undefined>(() => {})];

await host.start(listener(), { name: 'halted', backend: scriptedBackend() });
await host.halt('halted');
await host.tell('halted', 'later');

await host.start(listener(), { name: 'busy', backend: scriptedBackend({ turns: [one, held] }) });
const first = await host.tell('busy', '1');
await host.await('busy', first);
const refs = {
  first,
  second: await host.tell('busy', '2'),
  third: await host.tell('busy', '3'),
  fourth: await host.tell('busy', '4'),
};
while ((await host.status('busy')).state !== 'processing') await settled();
await host.notify('busy', 'kept');
writeSync(1, `refs ${JSON.stringify(refs)}\n`);
writeSync(1, 'in flight\n');
process.stdin.resume();
