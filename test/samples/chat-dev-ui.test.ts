/** What docs/genkit.md says of the Dev UI, with the real CLI: `genkit start -- npx tsx samples/chat/main.ts`. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { built } from '../support/built.js';
import { startGenkitCli } from '../support/genkit-cli.js';

it('the chat runs in the Dev UI, turn by turn, with a trace', { timeout: 180_000 }, async () => {
  const data = mkdtempSync(join(tmpdir(), 'genkitx-agent-dev-ui-'));
  onTestFinished(() => rmSync(data, { recursive: true, force: true, maxRetries: 5 }));
  const main = built('samples/chat/main.ts');
  // Stands for the terminal, which the CLI hands on: an input that says nothing and does not end.
  const terminal = join(data, 'terminal');
  execFileSync('mkfifo', [terminal]);
  await using cli = await startGenkitCli({
    command: ['sh', '-c', `exec node '${main}' --data '${data}' <> '${terminal}'`],
    waitFor: '/flow/chat',
  });
  expect((await cli.listActions())['/flow/chat']).toMatchObject({
    description: expect.stringContaining('remembers'),
    inputSchema: { type: 'string' },
    metadata: { bidi: true, streamSchema: { type: 'string' } },
  });

  const run = await cli.streamBidi('/flow/chat', { sessionId: 'from-the-dev-ui' });
  await run.send('my name is Ada');
  while ((await run.next()) !== 'Ada.');
  await run.send('what is my name?');
  while ((await run.next()) !== '1.');
  await run.end();
  expect(await run.result).toMatchObject({ sessionId: 'from-the-dev-ui', output: '4 messages' });

  const { root } = await cli.trace(run.traceId, (trace) => trace.root.children.length === 2);
  expect(root.children.map(({ name }) => name)).toEqual(['turn-1', 'turn-2']);
});
