/** A coding agent on a CLI: it works on files, and is really gone when it is cancelled. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { claudeCliBackend } from 'genkitx-agent/backends/claude-cli';

/** Which CLI is run, and where. Without `command` it is the `claude` in PATH. */
export interface Coder {
  readonly command: string;
  readonly commandArguments: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Has a file written, then cancels a task that would never end. */
export async function codingAgent(coder: Coder): Promise<void> {
  const backend = claudeCliBackend({ ...coder, permissionMode: 'acceptEdits', allowedTools: ['Write'], maxTurns: 10 });
  const session = await backend.startSession({ system: 'You write small files.' });

  const controller = new AbortController();
  const { signal } = controller;
  const { events } = await backend.prompt(session, 'Write a greeting', { signal });
  for await (const event of events) {
    if (event.type === 'tool_use') console.log(`coder      uses ${event.name}`);
    if (event.type === 'result') console.log(`coder      is done for $${event.costUsd}`);
  }
  assert.equal(await readFile(join(coder.cwd, 'hello.txt'), 'utf8'), 'Hello from the coder\n');

  const endless = await backend.prompt(session, 'Think for ever', { signal });
  let pids: number[] = [];
  let cancelledAt = 0;
  for await (const event of endless.events) {
    if (event.type === 'text') {
      pids = event.text.split(' ').map(Number);
      cancelledAt = performance.now();
      controller.abort();
    }
    if (event.type === 'error') assert.equal(event.error.kind, 'cancelled');
  }
  const tookMs = performance.now() - cancelledAt;
  assert.equal(pids.length, 2);
  assert.deepEqual(pids.filter(isAlive), []);
  assert.ok(tookMs < 1_000, `expected the processes to be gone within a second, not ${tookMs} ms`);
  console.log('coder      and its child are gone');
  await backend.terminateSession(session);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A child that has lost its parent stays on the list, dead, until the system has looked at it.
    return !existsSync('/proc') || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
