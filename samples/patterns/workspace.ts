/** Workspace: all four hooks around a folder: made before the first turn, named in every prompt, written after each, summed up at the end. */
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, noreply, proceed } from 'genkitx-agent/host';

let summary = '';

const worker = defineBehaviour({
  init: () => ({ state: { folder: '', files: [] as string[] } }),
  preRun: async (state) => ({ ...state, folder: await mkdtemp(join(tmpdir(), 'sample-workspace-')) }),
  preTurn: (asked, state) => proceed(`In ${state.folder}: ${String(asked)}`, state),
  handleResponse: (_ref, { text }, state) => (text === 'done' ? halt(state) : noreply(state)),
  async postTurn(outcome, _ref, state) {
    if (!outcome.ok || outcome.response.text === 'done') return state;
    const file = `turn-${state.files.length + 1}.txt`;
    await writeFile(join(state.folder, file), outcome.response.text);
    await appendFile(join(state.folder, 'log'), `${file}\n`);
    return { ...state, files: [...state.files, file] };
  },
  async postRun({ folder }) {
    summary = await readFile(join(folder, 'log'), 'utf8');
  },
  terminate: (_reason, { folder }) => rm(folder, { recursive: true }),
});

const backend = scriptedBackend({ turns: ['hello', 'world', 'done'] });
const host = createAgentHost();
await host.start(worker, { name: 'worker', backend });
for (const text of ['greet', 'name', 'finish']) await host.ask('worker', text);

assert.match(backend.prompts[0]?.text ?? '', /^In .*sample-workspace-.*: greet$/);
assert.equal(summary, 'turn-1.txt\nturn-2.txt\n');
assert.equal((await host.status('worker')).halted, true);
await host.close();
