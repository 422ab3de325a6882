/** Harnesses that are made once: the official SDK, against a local server that keeps them. */
import { BedrockAgentCoreControl } from '@aws-sdk/client-bedrock-agentcore-control';
import { describe, expect, it } from 'vitest';
import { failureOf } from '../../../src/backends/failure.js';
import type { Clock } from '../../../src/internal/clock.js';
import {
  type HarnessDescription,
  type ProvisionHarnessOptions,
  ProvisioningError,
  provisionHarness,
} from '../../../src/providers/bedrock-agentcore.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { errorOf, quiet } from '../../support/waiting.js';
import { type WireReply, type WireRequest, WireServer } from '../../support/wire-server.js';

interface Harness {
  readonly harnessId: string;
  readonly harnessName: string;
  readonly arn: string;
  readonly environment: object;
  failureReason?: string;
  /** What each look at it shows, the last one for ever; `gone` is no harness any more. */
  statuses: string[];
}

type Answer = readonly [status: number, body: object];

/** AWS's side: harnesses, listed one a page. */
class Control {
  readonly harnesses: Harness[] = [];
  readonly created: Record<string, unknown>[] = [];
  readonly deleted: string[] = [];
  /** What a harness that is made goes through. */
  life: readonly string[] = ['CREATING', 'CREATING', 'READY'];
  /** What becomes of each request, by its kind: a status, or done and never told. */
  readonly fates: Record<string, (number | 'lost')[]> = {};
  readonly tokens = new Map<unknown, Harness>();

  readonly serve = ({ method, url, body }: WireRequest, reply: WireReply): void => {
    const { pathname, searchParams } = new URL(url, 'http://local');
    const id = pathname.split('/')[2];
    const kind = id === undefined ? (method === 'POST' ? 'create' : 'list') : method === 'DELETE' ? 'delete' : 'get';
    const fate = this.fates[kind]?.shift();
    if (typeof fate === 'number') refuse(reply, fate);
    else this.#reply(reply, fate, ...this.#answer(kind, id, body as Record<string, unknown>, searchParams));
  };

  #reply(reply: WireReply, fate: 'lost' | undefined, status: number, answer: object): void {
    if (fate === 'lost') reply.drop();
    else if (status >= 400) refuse(reply, status);
    else reply.json(status, answer);
  }

  add(harnessName: string, ...statuses: string[]): Harness {
    const harnessId = `${harnessName}-${this.harnesses.length}`;
    const environment = { agentCoreRuntimeEnvironment: { agentRuntimeArn: `arn:runtime/${harnessId}` } };
    const harness = { harnessId, harnessName, arn: `arn:harness/${harnessId}`, environment, statuses };
    this.harnesses.push(harness);
    return harness;
  }

  #answer(kind: string, id: string | undefined, body: Record<string, unknown>, query: URLSearchParams): Answer {
    const living = this.harnesses.filter(({ statuses }) => statuses[0] !== 'gone');
    if (kind === 'list') return [200, page(living, Number(query.get('nextToken') ?? 0))];
    if (kind === 'create') return this.#create(body, living);
    const harness = living.find(({ harnessId }) => harnessId === id);
    if (harness === undefined) return [404, {}];
    if (kind === 'delete') this.deleted.push(harness.harnessId);
    const shown = view(harness);
    if (harness.statuses.length > 1) harness.statuses.shift();
    return [200, { harness: shown }];
  }

  #create(body: Record<string, unknown>, living: readonly Harness[]): Answer {
    this.created.push(body);
    const name = String(body.harnessName);
    const known = this.tokens.get(body.clientToken);
    if (known === undefined && living.some(({ harnessName }) => harnessName === name)) return [409, {}];
    const harness = known ?? this.add(name, ...this.life);
    this.tokens.set(body.clientToken, harness);
    return [200, { harness: view(harness) }];
  }
}

const exceptions: Readonly<Record<number, string>> = {
  400: 'ValidationException',
  403: 'AccessDeniedException',
  404: 'ResourceNotFoundException',
  409: 'ConflictException',
  429: 'ThrottlingException',
  500: 'InternalServerException',
};

function refuse(reply: WireReply, status: number): void {
  reply.json(status, { message: 'no' }, { 'x-amzn-errortype': exceptions[status] ?? 'InternalServerException' });
}

function page(harnesses: readonly Harness[], from: number): object {
  const next = from + 1 < harnesses.length ? { nextToken: String(from + 1) } : {};
  return { harnesses: harnesses.slice(from, from + 1).map(view), ...next };
}

function view({ statuses: [status], ...harness }: Harness): object {
  return { ...harness, status, createdAt: '2026-01-01T00:00:00Z', updatedAt: '2026-01-01T00:00:00Z' };
}

const harness: HarnessDescription = {
  name: 'clerk',
  executionRoleArn: 'arn:aws:iam::123456789012:role/clerk',
  systemPrompt: [{ text: 'You keep books.' }],
  maxIterations: 5,
};
const name = expect.stringMatching(/^clerk_[0-9a-f]{8}$/);

type Provision = (options?: Partial<ProvisionHarnessOptions>) => ReturnType<typeof provisionHarness>;

async function serving<T>(control: Control, work: (provision: Provision) => Promise<T>): Promise<T> {
  await using server = await WireServer.start(control.serve);
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new BedrockAgentCoreControl({
    region: 'us-east-1',
    endpoint: server.url,
    credentials,
    maxAttempts: 1,
  });
  const clock = new ManualClock();
  const provision: Provision = (options) =>
    provisionHarness({ client, harness, clock: passingInPauses(clock), ...options });
  return await work(provision);
}

/** Time passes in each pause, and not while a request is under way, however long that takes. */
function passingInPauses(clock: ManualClock): Clock {
  let isDeadlineSet = false;
  return {
    now: () => clock.now(),
    after(delayMs, callback) {
      const cancel = clock.after(delayMs, callback);
      // The time for all of it is set first.
      if (isDeadlineSet) setImmediate(() => clock.advance(delayMs));
      isDeadlineSet = true;
      return cancel;
    },
  };
}

describe('a harness that is described', () => {
  it('is made, waited for, and found again ever after', async () => {
    const control = new Control();
    control.add('other', 'READY');
    await serving(control, async (provision) => {
      const first = await provision();
      const [, made] = control.harnesses;
      expect(first).toEqual({
        harnessArn: made?.arn,
        harnessId: made?.harnessId,
        agentRuntimeArn: `arn:runtime/${made?.harnessId}`,
      });
      expect(await provision()).toEqual(first);
      const other = await provision({ harness: { ...harness, maxIterations: 6 } });
      expect(other.harnessId).not.toBe(first.harnessId);
    });
    const { name: _, ...content } = harness;
    const clientToken = expect.stringMatching(/^.{33,}$/);
    expect(control.created).toEqual([
      { ...content, harnessName: name, clientToken },
      { ...content, maxIterations: 6, harnessName: name, clientToken },
    ]);
  });

  it.each(['CREATING', 'UPDATING'])('is waited for when it is %s already', async (status) => {
    const control = new Control();
    await serving(control, async (provision) => {
      const { harnessId } = await provision();
      const [made] = control.harnesses;
      if (made !== undefined) made.statuses = [status, status, 'READY'];
      expect(await provision()).toMatchObject({ harnessId });
      expect(made?.statuses).toEqual(['READY']);
    });
    expect(control.created).toHaveLength(1);
  });

  it('is made anew when the old one is gone that is being deleted', async () => {
    const control = new Control();
    await serving(control, async (provision) => {
      const first = await provision();
      const [made] = control.harnesses;
      if (made !== undefined) made.statuses = ['DELETING', 'DELETING', 'gone'];
      const second = await provision();
      expect(second.harnessId).not.toBe(first.harnessId);
    });
    expect(new Set(control.created.map(({ clientToken }) => clientToken)).size).toBe(2);
  });

  it('is made once, however many ask at the same time', async () => {
    const control = new Control();
    const made = await serving(control, (provision) => Promise.all([provision(), provision(), provision()]));
    expect(new Set(made.map(({ harnessId }) => harnessId)).size).toBe(1);
    expect(control.harnesses).toHaveLength(1);
  });
});

describe('what fails in passing', () => {
  // A creation is repeated only with its token, by which AWS knows it.
  it.each<[kind: string, fates: (number | 'lost')[]]>([
    ['create', ['lost']],
    ['create', [500, 'lost', 429]],
    ['list', [500]],
    ['get', [429, 'lost', 500]],
  ])('is tried again, and nothing is made twice: %s %j', async (kind, fates) => {
    const control = new Control();
    control.fates[kind] = [...fates];
    const { harnessId } = await serving(control, (provision) => provision());
    expect(control.harnesses.map((one) => one.harnessId)).toEqual([harnessId]);
    expect(new Set(control.created.map(({ clientToken }) => clientToken)).size).toBe(1);
  });

  it('is not tried for ever', async () => {
    const control = new Control();
    control.fates.list = [500, 500, 500, 500, 500, 500];
    const error = await serving(control, (provision) => errorOf(provision()));
    expect(failureOf(error, { provider: 'p' })).toMatchObject({ kind: 'server', status: 500 });
    expect(control.fates.list).toHaveLength(1);
  });

  it.each([400, 403])('is something else than a refusal: %i', async (status) => {
    const control = new Control();
    control.fates.create = [status];
    const error = await serving(control, (provision) => errorOf(provision()));
    expect(failureOf(error, { provider: 'p' })).toMatchObject({ status, retryable: false });
    expect(control.harnesses).toEqual([]);
  });
});

describe('a harness that failed', () => {
  it('is deleted when it was made here, and says why', async () => {
    const control = new Control();
    control.life = ['CREATING', 'CREATE_FAILED'];
    const error = await serving(control, (provision) => errorOf(provision()));
    const [made] = control.harnesses;
    expect(error).toBeInstanceOf(ProvisioningError);
    expect(error).toMatchObject({
      code: 'BACKEND_FAILED',
      status: 'FAILED_PRECONDITION',
      wait: { harnessId: made?.harnessId, phase: 'waiting', lastStatus: 'CREATE_FAILED', polls: 2 },
    });
    expect((error as Error).message).toContain('CREATE_FAILED');
    expect(control.deleted).toEqual([made?.harnessId]);
  });

  it.each(['CREATE_FAILED', 'UPDATE_FAILED', 'DELETE_FAILED'])(
    'is left alone when it was found: %s',
    async (status) => {
      const control = new Control();
      const error = await serving(control, async (provision) => {
        await provision();
        const [made] = control.harnesses;
        if (made !== undefined) Object.assign(made, { statuses: [status], failureReason: 'No role' });
        return errorOf(provision());
      });
      expect(error).toMatchObject({ wait: { lastStatus: status } });
      expect((error as Error).message).toContain('No role');
      expect(control.deleted).toEqual([]);
    },
  );
});

describe('time', () => {
  it('is one for everything, and how far it came is told', async () => {
    const control = new Control();
    control.life = ['CREATING'];
    const error = await serving(control, (provision) =>
      errorOf(provision({ timeoutMs: 10_000, pollIntervalMs: 1_000 })),
    );
    expect(error).toBeInstanceOf(ProvisioningError);
    expect(error).toMatchObject({
      status: 'DEADLINE_EXCEEDED',
      wait: { phase: 'waiting', lastStatus: 'CREATING', harnessId: control.harnesses[0]?.harnessId },
    });
    const { elapsedMs, polls } = (error as ProvisioningError).wait;
    expect(elapsedMs).toBeGreaterThanOrEqual(10_000);
    expect(polls).toBeGreaterThan(1);
    expect(polls).toBeLessThanOrEqual(11);
  });

  it('is over when the caller gives up', async () => {
    const control = new Control();
    control.life = ['CREATING'];
    const controller = new AbortController();
    const error = await serving(control, async (provision) => {
      const work = errorOf(provision({ signal: controller.signal }));
      while (control.created.length === 0) await quiet();
      controller.abort('enough');
      return work;
    });
    expect(error).toBe('enough');
  });
});

it.each([
  ['harness.name', { harness: { ...harness, name: '1st-clerk' } }],
  ['timeoutMs', { timeoutMs: 0 }],
  ['pollIntervalMs', { pollIntervalMs: Number.NaN }],
])('an option that cannot work is refused before anything is asked: %s', async (path, options) => {
  const control = new Control();
  const error = await serving(control, (provision) => errorOf(provision(options)));
  expect(error).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path }] });
  expect(control.created).toEqual([]);
});
