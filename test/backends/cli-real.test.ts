/**
 * The vendors' own CLIs, pointed at a local server by their base URL. Skipped, with the reason, where they are not
 * installed; `GENKITX_AGENT_TEST_FETCH_CLIS=1` has npm fetch them for the run.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backends/backend.js';
import { openBackendSession } from '../../src/backends/backend-session.js';
import { claudeCliBackend } from '../../src/backends/claude-cli.js';
import type { CliLimits } from '../../src/backends/cli-process.js';
import { codexCliBackend } from '../../src/backends/codex-cli.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { type AnswerBlock, messageStream } from '../support/anthropic-wire.js';
import { installedCli } from '../support/installed-cli.js';
import { type ResponseItem, responseStream } from '../support/openai-wire.js';
import { collect, Gate } from '../support/waiting.js';
import { type WireScript, WireServer } from '../support/wire-server.js';

const [claude, codex] = await Promise.all([
  installedCli({
    name: 'claude',
    variable: 'GENKITX_AGENT_TEST_CLAUDE',
    package: '@anthropic-ai/claude-code@2.1.197',
  }),
  installedCli({ name: 'codex', variable: 'GENKITX_AGENT_TEST_CODEX', package: '@openai/codex@0.169.0' }),
]);
afterAll(async () => {
  await Promise.all([claude, codex].map((cli) => cli[Symbol.asyncDispose]()));
});

const title = (what: string, { missing }: { missing: string }) =>
  missing === '' ? what : `${what} (skipped: ${missing})`;

/** A home of its own, so that nothing of the machine's user is read or written. */
async function home(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'genkitx-agent-cli-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) };
}

/**
 * Cancels a turn whose server never answers, and lets the half second pass that a CLI has to end by itself: its events then
 * end, as they do when nothing is left of it.
 */
async function cancelHanging<Session>(backendAt: (url: string, limits: CliLimits) => Backend<Session>): Promise<void> {
  const asked = new Gate();
  await using server = await WireServer.start((_, reply) => {
    reply.head(200, { 'content-type': 'text/event-stream' });
    asked.open();
  });
  const clock = new ManualClock();
  const backend = backendAt(server.url, { clock });
  const controller = new AbortController();
  const { events } = await backend.prompt(await backend.startSession(), 'Hang', { signal: controller.signal });
  const told = collect(events);
  await asked.opened;
  controller.abort();
  clock.advance(500);
  expect((await told).at(-1)).toMatchObject({ type: 'error', error: { kind: 'cancelled' } });
}

describe.skipIf(claude.path === undefined)(title('the real claude', claude), () => {
  function backend(url: string, path: string, limits: CliLimits = {}) {
    const env = {
      HOME: path,
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: 'test',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: '0',
      DISABLE_AUTOUPDATER: '1',
    };
    const command = claude.path ?? '';
    return claudeCliBackend({ command, cwd: path, env, bare: true, dangerouslySkipPermissions: false, limits });
  }

  const answers = (...turns: readonly AnswerBlock[][]): WireScript => {
    const left = [...turns];
    return ({ method, url }, reply) => {
      if (method !== 'POST' || !url.startsWith('/v1/messages?')) return reply.json(404, {});
      return reply.events(messageStream(left.shift() ?? [{ text: 'no more' }]));
    };
  };

  it('answers, calls a tool, and goes on in the same session', async () => {
    await using folder = await home();
    const call = { id: 'toolu_1', name: 'Bash', input: { command: 'echo from the tool', description: 'Says it' } };
    await using server = await WireServer.start(answers([call], [{ text: 'The tool said it.' }], [{ text: 'Again.' }]));
    const session = await openBackendSession(backend(server.url, folder.path), { system: 'You are a parrot.' });
    const first = await session.send('Use the tool');
    expect(first).toMatchObject({ text: 'The tool said it.', isError: false });
    expect(first.usage).toMatchObject({ inputTokens: 20, outputTokens: 10 });
    const types = first.events.map(({ type }) => type);
    expect(types).toEqual(expect.arrayContaining(['tool_use', 'tool_result', 'result']));
    expect(types.indexOf('usage'), 'usage while the turn goes on').toBeLessThan(types.indexOf('tool_result'));
    expect(JSON.stringify(first.events)).toContain('from the tool');
    const second = await session.send('Again');
    expect(second).toMatchObject({ text: 'Again.', sessionId: first.sessionId });
    expect(second.costUsd).toBeLessThan(first.costUsd ?? 0);
    const last = JSON.stringify(server.requests.at(-1)?.body);
    expect(last).toContain('The tool said it.');
    expect(last).toContain('You are a parrot.');
    await session.stop();
  }, 180_000);

  it('tells a refusal of the server', async () => {
    await using folder = await home();
    const error = { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } };
    await using server = await WireServer.start((_, reply) => reply.json(429, error, { 'x-should-retry': 'false' }));
    const session = await openBackendSession(backend(server.url, folder.path));
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'rate_limit', retryable: true });
    await session.stop();
  }, 180_000);

  it.each(['5efce45a-1237-4c45-b1d5-88dd9f6e933e', 'nonsense'])(
    'says that it has lost the session %s',
    async (resume) => {
      await using folder = await home();
      await using server = await WireServer.start((_, reply) => reply.json(500, {}));
      const session = await openBackendSession(backend(server.url, folder.path), { resume });
      await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'not_found', retryable: false });
      expect(session.sessionId).toBe(resume);
      await session.stop();
    },
    180_000,
  );

  it('is gone after half a second when it is cancelled', async () => {
    await using folder = await home();
    await cancelHanging((url, limits) => backend(url, folder.path, limits));
  }, 180_000);
});

describe.skipIf(codex.path === undefined)(title('the real codex', codex), () => {
  function backend(url: string, path: string, limits: CliLimits = {}) {
    const provider = {
      name: 'local',
      base_url: `${url}/v1`,
      wire_api: 'responses',
      env_key: 'OPENAI_API_KEY',
      request_max_retries: 0,
      stream_max_retries: 0,
    };
    return codexCliBackend({
      command: codex.path ?? '',
      cwd: path,
      env: { HOME: path, CODEX_HOME: undefined, OPENAI_API_KEY: 'test' },
      model: 'gpt-5',
      sandbox: 'read-only',
      approvalPolicy: 'never',
      skipGitRepoCheck: true,
      config: { model_provider: 'local', 'model_providers.local': provider },
      limits,
    });
  }

  const answers = (...turns: readonly ResponseItem[][]): WireScript => {
    const left = [...turns];
    return ({ method, url }, reply) => {
      if (method !== 'POST' || url !== '/v1/responses') return reply.json(404, {});
      return reply.events(responseStream(left.shift() ?? [{ text: 'no more' }]));
    };
  };

  it('answers, runs a command, and goes on in the same thread with usage per turn', async () => {
    await using folder = await home();
    const call = { id: 'call_1', name: 'exec_command', input: { cmd: 'echo from the tool' } };
    await using server = await WireServer.start(answers([call], [{ text: 'The tool said it.' }], [{ text: 'Again.' }]));
    const session = await openBackendSession(backend(server.url, folder.path), { system: 'You are a "parrot".' });
    const first = await session.send('--Use the tool');
    expect(first).toMatchObject({ text: 'The tool said it.', isError: false });
    expect(first.usage).toMatchObject({ inputTokens: 20, outputTokens: 10 });
    expect(first.events.map(({ type }) => type)).toEqual(expect.arrayContaining(['tool_use', 'tool_result', 'result']));
    const second = await session.send('Again');
    expect(second).toMatchObject({ text: 'Again.', sessionId: first.sessionId });
    expect(second.usage).toMatchObject({ inputTokens: 10, outputTokens: 5 });
    const last = JSON.stringify(server.requests.at(-1)?.body);
    expect(last).toContain('The tool said it.');
    expect(last).toContain('You are a \\"parrot\\".');
    await session.stop();
  }, 180_000);

  it('tells a refusal of the server', async () => {
    await using folder = await home();
    await using server = await WireServer.start((_, reply) => reply.json(401, { error: { message: 'bad key' } }));
    const session = await openBackendSession(backend(server.url, folder.path));
    await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'authentication', retryable: false });
    await session.stop();
  }, 180_000);

  it.each(['5efce45a-1237-4c45-b1d5-88dd9f6e933e', 'nonsense'])(
    'says that it has lost the session %s',
    async (resume) => {
      await using folder = await home();
      await using server = await WireServer.start((_, reply) => reply.json(500, {}));
      const session = await openBackendSession(backend(server.url, folder.path), { resume });
      await expect(session.send('Hi')).rejects.toMatchObject({ kind: 'not_found', retryable: false });
      expect(session.sessionId).toBe(resume);
      await session.stop();
    },
    180_000,
  );

  it('is gone after half a second when it is cancelled', async () => {
    await using folder = await home();
    await cancelHanging((url, limits) => backend(url, folder.path, limits));
  }, 180_000);
});
