/** Workspace: all four hooks around a git repository: made before the first turn, named in every prompt, committed to after each, summed up at the end. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, halt, noreply, proceed } from 'genkitx-agent/host';

const run = promisify(execFile);
const committer = ['-c', 'user.name=worker', '-c', 'user.email=worker@localhost', '-c', 'commit.gpgsign=false'];

async function git(folder: string, ...args: string[]): Promise<string> {
  // Whoever runs this from a git hook has these set, to another repository.
  const env = { ...process.env, GIT_DIR: undefined, GIT_WORK_TREE: undefined, GIT_INDEX_FILE: undefined };
  const { stdout } = await run('git', [...committer, ...args], { cwd: folder, env });
  return stdout.trim();
}

let summary = '';

const worker = defineBehaviour({
  init: () => ({ state: { folder: '', commits: [] as string[] } }),
  async preRun(state) {
    const folder = await mkdtemp(join(tmpdir(), 'sample-workspace-'));
    await git(folder, 'init', '--quiet');
    return { ...state, folder };
  },
  preTurn: (asked, state) => proceed(`In ${state.folder}: ${String(asked)}`, state),
  handleResponse: (_ref, { text }, state) => (text === 'done' ? halt(state) : noreply(state)),
  async postTurn(outcome, _ref, state) {
    if (!outcome.ok || outcome.response.text === 'done') return state;
    const file = `turn-${state.commits.length + 1}.txt`;
    await writeFile(join(state.folder, file), outcome.response.text);
    await git(state.folder, 'add', file);
    await git(state.folder, 'commit', '--quiet', '--message', `Write ${file}`);
    return { ...state, commits: [...state.commits, await git(state.folder, 'rev-parse', 'HEAD')] };
  },
  async postRun({ folder }) {
    summary = await git(folder, 'log', '--reverse', '--format=%s');
  },
  terminate: (_reason, { folder }) => rm(folder, { recursive: true }),
});

const backend = scriptedBackend({ turns: ['hello', 'world', 'done'] });
const host = createAgentHost();
await host.start(worker, { name: 'worker', backend });
for (const text of ['greet', 'name', 'finish']) await host.ask('worker', text);

assert.match(backend.prompts[0]?.text ?? '', /^In .*sample-workspace-.*: greet$/);
assert.equal(summary, 'Write turn-1.txt\nWrite turn-2.txt');
const { halted, agentState } = await host.status('worker');
assert.equal(halted, true);
assert.equal((agentState as { commits: string[] }).commits.length, 2);
await host.close();
