/** Agents and environments that are made once: the official SDK, against a local server that keeps them. */
import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import {
  type ManagedAgentDescription,
  type ProvisionManagedAgentOptions,
  provisionManagedAgent,
  pruneManagedAgents,
} from '../../../src/providers/claude-managed-agents.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';
import { errorOf, quiet } from '../../support/waiting.js';
import { type WireReply, type WireRequest, WireServer } from '../../support/wire-server.js';

interface Thing {
  readonly id: string;
  readonly name: string;
  readonly created_at: string;
  archived_at: string | null;
}

/** What becomes of a creation: it is refused with a status, made and never told, or too late. */
type Fate = number | 'lost' | 'late' | undefined;

/** Anthropic's side: agents and environments, listed newest first, two a page. */
class Registry {
  readonly things: Record<string, Thing[]> = { agents: [], environments: [] };
  readonly bodies: Record<string, unknown[]> = { agents: [], environments: [] };
  readonly fates: Fate[] = [];
  /** Names belong to one thing, dead or alive. */
  hasUniqueNames = false;
  #count = 0;

  readonly serve = ({ method, url, body }: WireRequest, reply: WireReply): void => {
    const { pathname, searchParams } = new URL(url, 'http://local');
    const [, , kind = '', id, verb] = pathname.split('/');
    if (verb === 'archive') reply.json(200, this.#archive(kind, id));
    else if (method === 'POST') this.#create(kind, body as { name: string }, reply);
    else reply.json(200, this.#page(kind, Number(searchParams.get('page') ?? 0)));
  };

  #archive(kind: string, id: string | undefined): Thing | undefined {
    const thing = this.things[kind]?.find((one) => one.id === id);
    if (thing !== undefined) thing.archived_at = '2026-01-02T00:00:00Z';
    return thing;
  }

  #page(kind: string, from: number): object {
    const living = (this.things[kind] ?? []).filter(({ archived_at }) => archived_at === null).reverse();
    return { data: living.slice(from, from + 2), next_page: from + 2 < living.length ? String(from + 2) : null };
  }

  add(kind: string, name: string): Thing {
    const nth = this.#count++;
    const created_at = new Date(Date.UTC(2026, 0, 1) + nth * 1_000).toISOString();
    const thing = { id: `${kind}_${nth}`, name, created_at, archived_at: null };
    this.things[kind]?.push(thing);
    return thing;
  }

  #create(kind: string, body: { name: string }, reply: WireReply): void {
    this.bodies[kind]?.push(body);
    const fate = kind === 'agents' ? this.fates.shift() : undefined;
    if (fate === 'late') this.add(kind, body.name);
    const isTaken = this.hasUniqueNames && this.things[kind]?.some(({ name }) => name === body.name);
    const retry = { 'retry-after': '0', 'x-should-retry': 'true' };
    if (typeof fate === 'number') reply.json(fate, { error: { message: 'no' } }, retry);
    else if (isTaken) reply.json(409, { error: { message: 'taken' } }, retry);
    else if (fate === 'lost') this.#lose(kind, body.name, reply);
    else reply.json(200, this.add(kind, body.name));
  }

  #lose(kind: string, name: string, reply: WireReply): void {
    this.add(kind, name);
    reply.drop();
  }
}

const agent: ManagedAgentDescription = {
  name: 'clerk',
  model: 'claude-opus-5-5',
  system: 'You keep books.',
  tools: [{ type: 'custom', name: 'look_up', description: 'Looks up', input_schema: { type: 'object' } }],
};

async function serving<T>(
  registry: Registry,
  work: (
    provision: (options?: Partial<ProvisionManagedAgentOptions>) => ReturnType<typeof provisionManagedAgent>,
    client: Anthropic,
  ) => Promise<T>,
): Promise<T> {
  await using server = await WireServer.start(registry.serve);
  const client = new Anthropic({ apiKey: 'test', baseURL: server.url, logLevel: 'off' });
  return await work((options) => provisionManagedAgent({ client, agent, ...options }), client);
}

/** Lets time pass until the work is done. */
async function patiently<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isDone = false;
  const over = work.finally(() => {
    isDone = true;
  });
  over.catch(() => {});
  while (!isDone) {
    await quiet();
    clock.advance(500);
  }
  return over;
}

describe('an agent that is described', () => {
  it('is made with its environment, as the wire has it, and found again ever after', async () => {
    const registry = new Registry();
    await serving(registry, async (provision) => {
      const first = await provision();
      expect(first).toEqual({ agent: expect.stringMatching(/^agents_/), environmentId: expect.stringMatching(/^env/) });
      for (const other of ['x', 'y', 'z']) registry.add('agents', other);
      expect(await provision()).toEqual(first);
      expect(await provision({ agent: Object.fromEntries(Object.entries(agent).reverse()) as never })).toEqual(first);
    });
    const name = expect.stringMatching(/^clerk_[0-9a-f]{8}$/);
    expect(registry.bodies).toEqual({
      agents: [{ ...agent, name }],
      environments: [{ name, config: { type: 'cloud', networking: { type: 'unrestricted' } } }],
    });
  });

  it('is another one when its description is, and the environment is not', async () => {
    const registry = new Registry();
    await serving(registry, async (provision) => {
      const first = await provision();
      const second = await provision({ agent: { ...agent, system: 'You keep secrets.' } });
      expect(second.agent).not.toBe(first.agent);
      expect(second.environmentId).toBe(first.environmentId);
      const third = await provision({ environment: { name: 'clerk', config: { type: 'self_hosted' } } });
      expect(third).toEqual({ agent: first.agent, environmentId: expect.not.stringMatching(first.environmentId) });
    });
  });

  it('is made once, however many ask at the same time', async () => {
    const registry = new Registry();
    const made = await serving(registry, (provision) => Promise.all([provision(), provision(), provision()]));
    expect(new Set(made.map((one) => JSON.stringify(one))).size).toBe(1);
    expect(registry.bodies.agents).toHaveLength(1);
  });

  it('is the eldest of two that were made at once elsewhere, and none that is archived', async () => {
    const registry = new Registry();
    await serving(registry, async (provision, client) => {
      await provision();
      const [made] = registry.things.agents ?? [];
      const name = made?.name ?? '';
      const second = registry.add('agents', name);
      expect((await provision()).agent).toBe(made?.id);
      await client.beta.agents.archive(made?.id ?? '');
      expect((await provision()).agent).toBe(second.id);
    });
  });
});

// RMA's client retried every POST, and could make a thing twice.
describe('a creation whose end is not known', () => {
  it.each<[fates: Fate[], creations: number]>([
    [['lost'], 1],
    [[503], 2],
    [[429, 500], 3],
    [[500, 'lost'], 2],
  ])('is looked for before it is repeated: %j', async (fates, creations) => {
    const registry = new Registry();
    registry.fates.push(...fates);
    const clock = new ManualClock();
    const { agent: id } = await serving(registry, (provision) => patiently(clock, provision({ clock })));
    expect(registry.bodies.agents).toHaveLength(creations);
    expect(registry.things.agents).toEqual([expect.objectContaining({ id })]);
  });

  it('is not repeated for ever', async () => {
    const registry = new Registry();
    registry.fates.push(503, 503, 503, 503);
    const clock = new ManualClock();
    const error = await serving(registry, (provision) => errorOf(patiently(clock, provision({ clock }))));
    expect(error).toMatchObject({ status: 503 });
    expect(registry.bodies.agents).toHaveLength(3);
  });

  it('is given up when the caller gives up', async () => {
    const registry = new Registry();
    registry.fates.push(503);
    const controller = new AbortController();
    const clock = new ManualClock();
    const error = await serving(registry, async (provision) => {
      const work = errorOf(provision({ clock, signal: controller.signal }));
      while (registry.bodies.agents?.length === 0) await quiet();
      await quiet();
      controller.abort('enough');
      return work;
    });
    expect(String(error)).toMatch(/enough|abort/i);
    expect(registry.bodies.agents).toHaveLength(1);
  });
});

describe('a creation that is refused', () => {
  it.each([400, 401, 403, 404])('says so, and is not repeated: %i', async (status) => {
    const registry = new Registry();
    registry.fates.push(status);
    expect(await serving(registry, (provision) => errorOf(provision()))).toMatchObject({ status });
    expect(registry.bodies.agents).toHaveLength(1);
  });

  it('because the name is taken is no failure when it was taken by the same', async () => {
    const registry = new Registry();
    registry.hasUniqueNames = true;
    // Another process makes it between the look and the creation.
    registry.fates.push('late');
    const { agent: id } = await serving(registry, (provision) => provision());
    expect(registry.things.agents).toEqual([expect.objectContaining({ id })]);
    expect(registry.bodies.agents).toHaveLength(1);
  });

  it('because the name belongs to something archived says so', async () => {
    const registry = new Registry();
    registry.hasUniqueNames = true;
    const error = await serving(registry, async (provision, client) => {
      const { agent: id } = await provision();
      await client.beta.agents.archive(id);
      return errorOf(provision());
    });
    expect(error).toMatchObject({ code: 'BACKEND_FAILED', status: 'ALREADY_EXISTS' });
    expect((error as Error).message).toContain('archived');
  });

  it.each([
    ['agent.name', { agent: { ...agent, name: '' } }],
    ['environment.name', { environment: { name: '' } }],
  ])('before anything is asked, for want of a name: %s', async (path, options) => {
    const registry = new Registry();
    const error = await serving(registry, (provision) => errorOf(provision(options)));
    expect(error).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path }] });
  });
});

describe('pruning', () => {
  it('archives the oldest, keeps the newest, and touches nobody else’s', async () => {
    const registry = new Registry();
    await serving(registry, async (provision, client) => {
      const made: string[] = [];
      for (const system of ['one', 'two', 'three']) made.push((await provision({ agent: { ...agent, system } })).agent);
      await provision({ agent: { ...agent, name: 'clerk_two' } });
      registry.add('agents', 'clerk');
      expect(await pruneManagedAgents({ client, name: 'clerk', keep: 1 })).toEqual(made.slice(0, 2));
      expect(await pruneManagedAgents({ client, name: 'clerk', keep: 1 })).toEqual([]);
      const dead = registry.things.agents?.filter(({ archived_at }) => archived_at !== null).map(({ id }) => id);
      expect(dead).toEqual(made.slice(0, 2));
      const refused = errorOf(pruneManagedAgents({ client, name: 'clerk', keep: 0 }));
      expect(await refused).toMatchObject({ code: 'INVALID_VALUE', issues: [{ path: 'keep' }] });
    });
  });
});
