/** Processes for real: one that is killed, and ones that have nothing left to do but wait. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { runSession, sessionToolJournal } from '../../../src/backends/tool-loop.js';
import { scriptedProvider } from '../../../src/providers/scripted.js';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { built } from '../../support/built.js';
import { type Call, noting, text } from '../../support/loop.js';
import { run } from '../../support/shell.js';
import { freshPath } from '../../support/sqlite-clients.js';

test('a session goes on in another process, and no call is run twice', async () => {
  const path = freshPath();
  const ranPath = `${path}.ran`;
  const child = [built('test/support/fixtures/dying-loop.ts'), path, ranPath];
  expect((await run(process.execPath, child, process.cwd())).exitCode).not.toBe(0);
  const ran = (await readFile(ranPath, 'utf8')).trim().split('\n');
  expect(ran).toContain('c5');

  const calls: Call[] = [];
  const scripted = scriptedProvider({ mode: 'request_response', hasHistory: false, turns: [[text('done')]] });
  const journal = sessionToolJournal(new SqliteSessionStore({ path }));
  const result = await runSession(scripted, { sessionId: 'theirs', handler: noting(calls), journal });

  expect(result.text).toBe('done');
  const all = [...ran, ...calls.map(({ callId }) => callId)];
  expect([...all].sort()).toEqual(Array.from({ length: 12 }, (_, index) => `c${index}`).sort());
  const [input] = scripted.inputs;
  const results = input?.type === 'results' ? input.results : [];
  expect(results.map(({ toolUseId }) => toolUseId)).toEqual(Array.from({ length: 12 }, (_, index) => `c${index}`));
  expect(results[5]).toMatchObject({ isError: true, text: expect.stringContaining('not run again') });
  for (const { callId } of calls) expect(results.find(({ toolUseId }) => toolUseId === callId)?.text).toBe('f done');
});

test.each([
  ['lost', 'end_turn ab\n'],
  ['stuck', 'timeout a\n'],
])('a process that only waits stays alive until the loop is done: %s', async (what, said) => {
  const child = [built('test/support/fixtures/waiting-loop.ts'), what];
  expect(await run(process.execPath, child, process.cwd())).toMatchObject({ exitCode: 0, stdout: said });
});
