/** Commands in a session's machine: the official SDK, against a local server that speaks AWS's event stream. */
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../../src/backends/failure.js';
import { type RunHarnessCommandOptions, runHarnessCommand } from '../../../src/providers/bedrock-agentcore.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { agentCoreClient } from '../../support/agentcore-client.js';
import { eventFrames, exceptionFrame } from '../../support/aws-event-stream.js';
import { errorOf, Gate, quiet } from '../../support/waiting.js';
import { type WireReply, WireServer } from '../../support/wire-server.js';

const agentRuntimeArn = 'arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/r-1';
const runtimeSessionId = 'x'.repeat(33);
const head = { 'content-type': 'application/vnd.amazon.eventstream' };
const chunk = (name: string, payload: object) => ({ chunk: { [name]: payload } });
const wrote = (output: { stdout?: string; stderr?: string }) => chunk('contentDelta', output);
const stopped = (exitCode: number, status = 'COMPLETED') => chunk('contentStop', { exitCode, status });
const started = chunk('contentStart', {});

async function running(
  script: (reply: WireReply) => unknown,
  options: Partial<RunHarnessCommandOptions> = {},
  pieceLength = 1,
) {
  await using server = await WireServer.start((_, reply) => script(reply));
  const client = agentCoreClient(server.url, pieceLength);
  const work = runHarnessCommand({ client, agentRuntimeArn, runtimeSessionId, command: 'ls', ...options });
  const settled = await work.then(
    (result) => ({ result, error: undefined }),
    (error: unknown) => ({ result: undefined, error }),
  );
  return { ...settled, requests: server.requests };
}

const telling =
  (...chunks: object[]) =>
  (reply: WireReply) =>
    reply.head(200, head).end(eventFrames(chunks as never[]));

describe('a command', () => {
  it.each([1, 5, 1_000])('is told what it wrote, however it is split: %i bytes', async (pieceLength) => {
    const told: object[] = [];
    const chunks = [started, wrote({ stdout: 'a.t' }), wrote({ stdout: 'xt\nö', stderr: 'hm' }), stopped(0)];
    const { result } = await running(telling(...chunks), { onOutput: (output) => told.push(output) }, pieceLength);
    expect(result).toEqual({ exitCode: 0, stdout: 'a.txt\nö', stderr: 'hm', isTimedOut: false });
    expect(told).toEqual([
      { stdout: 'a.t', stderr: '' },
      { stdout: 'xt\nö', stderr: 'hm' },
    ]);
  });

  it('is asked for as the wire has it', async () => {
    const { requests } = await running(telling(started, stopped(0)), { timeoutSeconds: 5, qualifier: 'prod' });
    const [{ method, url, headers, body } = { method: '', url: '', headers: {}, body: {} }] = requests;
    expect(`${method} ${url}`).toBe(`POST /runtimes/${encodeURIComponent(agentRuntimeArn)}/commands?qualifier=prod`);
    expect(headers['x-amzn-bedrock-agentcore-runtime-session-id']).toBe(runtimeSessionId);
    expect(body).toEqual({ command: 'ls', timeout: 5 });
  });

  it('that fails, or takes too long, is a result', async () => {
    const failed = await running(telling(started, wrote({ stderr: 'no such file' }), stopped(2)));
    expect(failed.result).toEqual({ exitCode: 2, stdout: '', stderr: 'no such file', isTimedOut: false });
    const late = await running(telling(started, stopped(124, 'TIMED_OUT')));
    expect(late.result).toMatchObject({ exitCode: 124, isTimedOut: true });
  });
});

describe('a command that cannot be run', () => {
  it.each<[what: string, script: (reply: WireReply) => unknown, failure: object]>([
    ['because AWS fails', telling(started, stopped(-1)), { kind: 'server' }],
    [
      'because it is refused',
      (reply) => reply.json(403, { message: 'no' }, { 'x-amzn-errortype': 'AccessDeniedException' }),
      { kind: 'permission', status: 403 },
    ],
    [
      'because of an exception within the stream',
      (reply) => reply.head(200, head).end(exceptionFrame('throttlingException', { message: 'slow' })),
      { retryable: true },
    ],
    ['because the stream ends early', telling(started, wrote({ stdout: 'a' })), { retryable: true }],
    [
      'because the connection is lost',
      (reply) => {
        reply.head(200, head).write(eventFrames([started]));
        setImmediate(() => reply.drop());
      },
      { kind: 'network' },
    ],
  ])('%s, says so after one request', async (_, script, failure) => {
    const { error, requests } = await running(script);
    expect(failureOf(error, { provider: 'p' })).toMatchObject(failure);
    expect(requests).toHaveLength(1);
  });

  it('because its client would run it twice', async () => {
    const client = agentCoreClient('http://127.0.0.1:1', 1, 3);
    const work = runHarnessCommand({ client, agentRuntimeArn, runtimeSessionId, command: 'ls' });
    expect(await errorOf(work)).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'client' }] });
  });

  it.each(['signal', 'silence'])('hangs up: %s', async (why) => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const hungUp = new Gate();
    const heard = new Gate();
    await using server = await WireServer.start((_, reply) => {
      reply.head(200, head).write(eventFrames([wrote({ stdout: 'a' })]));
      void reply.hungUp.then(() => hungUp.open());
    });
    const client = agentCoreClient(server.url);
    const options = { client, agentRuntimeArn, runtimeSessionId, command: 'ls', clock, idleTimeoutMs: 1_000 };
    const work = runHarnessCommand({ ...options, signal: controller.signal, onOutput: () => heard.open() });
    const error = errorOf(work);
    await heard.opened;
    await quiet();
    if (why === 'signal') controller.abort('enough');
    else clock.advance(1_000);
    if (why === 'signal') expect(await error).toBe('enough');
    else expect(failureOf(await error, { provider: 'p' })).toMatchObject({ kind: 'timeout' });
    await hungUp.opened;
  });
});
