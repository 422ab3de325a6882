/** A process of its own that hosts an agent with tools, and is killed while the second of two calls runs. */
import { appendFileSync, writeSync } from 'node:fs';
import { createAgentHost } from '../../src/host/host.js';
import { SqliteSessionStore } from '../../src/stores/sqlite.js';
import { listener, settled } from './harness.js';
import { twoToolBackend } from './two-tools.js';

const [, , path = '', calls = ''] = process.argv;

const backend = twoToolBackend(async (name) => {
  appendFileSync(calls, `${name}\n`);
  if (name === 'first') return 'one';
  // What was remembered of the first call is there before this one is cut off.
  await settled();
  writeSync(1, 'in the second\n');
  return new Promise<string>(() => {});
});
const host = createAgentHost({ store: new SqliteSessionStore({ path }) });
await host.start(listener(), { name: 'a', backend });
await host.ask('a', 'hello');
writeSync(1, `ref ${await host.tell('a', 'use your tools')}\n`);
process.stdin.resume();
