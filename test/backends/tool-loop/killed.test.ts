/** A process killed for real: what it had recorded is sent, what it had begun is not run again. */
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { runSession, sessionToolJournal } from '../../../src/backends/tool-loop.js';
import { scriptedProvider } from '../../../src/providers/scripted.js';
import { SqliteSessionStore } from '../../../src/stores/sqlite.js';
import { type Call, noting, text } from '../../support/loop.js';
import { run } from '../../support/shell.js';
import { freshPath } from '../../support/sqlite-clients.js';

test('a session goes on in another process, and no call is run twice', async () => {
  const path = freshPath();
  const ranPath = `${path}.ran`;
  const child = ['--import', 'tsx', 'test/support/fixtures/dying-loop.ts', path, ranPath];
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
