/** The backend that the documentation writes in 40 lines is a good one. */
import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type AskedTurn, type BackendUnderTest, type ModelTurn, testBackend } from '../../src/testing/backend-suite.js';
import { lineBackend } from '../support/fixtures/line-backend.js';

const path = 'test/support/fixtures/line-backend.ts';

const statuses = { rate_limit: 429, authentication: 401, invalid_request: 400, server: 500 } as const;

/** A server of lines that does as the suite says. */
async function lineServer(): Promise<BackendUnderTest> {
  const turns: ModelTurn[] = [];
  const asked: AskedTurn[] = [];
  let working = 0;
  const server = createServer(async (request, response) => {
    working += 1;
    response.once('close', () => {
      working -= 1;
    });
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { system, lines } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as { system: string; lines: string[] };
    const own = system === '' ? {} : { system };
    asked.push({ prompt: lines.at(-1) ?? '', earlier: (lines.length - 1) / 2, ...own });
    answer(turns.shift() ?? {}, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    backend: lineBackend(`http://127.0.0.1:${port}/`),
    play: (turn) => void turns.push(turn),
    asked: () => asked,
    working: () => working,
    dispose() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function answer({ text = [], end = 'done' }: ModelTurn, response: ServerResponse): void {
  if (end in statuses) {
    response.writeHead(statuses[end as keyof typeof statuses], { 'retry-after': '2' }).end('as asked');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  for (const piece of text) response.write(piece);
  if (end === 'done') response.end();
  if (end === 'drop') setImmediate(() => response.destroy());
}

describe('the backend of the documentation', () => {
  const skip = [
    'usage is what each turn used, whatever the vendor counts',
    'a tool call and its result are told, in that order, before the answer',
  ];
  testBackend({
    test,
    create: lineServer,
    skip: skip.map((name) => ({ case: name, reason: 'the server of lines knows no such thing' })),
  });

  test('is the one that is printed there, and 40 lines long', () => {
    const code = readFileSync(path, 'utf8');
    expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(40);
    expect(readFileSync('docs/backends.md', 'utf8')).toContain(`\`\`\`ts\n${code}\`\`\`\n`);
  });
});
