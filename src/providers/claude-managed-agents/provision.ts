/**
 * An agent and its environment at Anthropic, from a description: made when they are first asked for, found again ever
 * after. Another description is another agent; the earlier one stays until it is pruned.
 *
 * Source: ReqManagedAgents' `Provisioner`.
 */
import { AgentFlowError, InvalidValueError } from '../../errors.js';
import { type Clock, systemClock } from '../../internal/clock.js';
import { KeyedMutex } from '../../internal/keyed-mutex.js';
import { contentName, isContentName } from '../content-name.js';
import { pause } from '../pause.js';
import { listed } from './pages.js';

interface RequestOptions {
  readonly signal: AbortSignal;
  readonly maxRetries?: number;
}

/** Things at Anthropic that have names: agents, or environments. */
interface NamedThings {
  create(params: never, options: RequestOptions): PromiseLike<{ readonly id: string }>;
  list(params: { readonly limit: number }, options: RequestOptions): AsyncIterable<unknown>;
  archive(id: string, params: object, options: RequestOptions): PromiseLike<unknown>;
}

/** The part of `new Anthropic()` from `@anthropic-ai/sdk` that is used to make agents. */
export interface AgentProvisioningClient {
  readonly beta: { readonly agents: NamedThings; readonly environments: NamedThings };
}

/** An agent as `agents.create` takes it. The name is put before a digest of all the rest. */
export interface ManagedAgentDescription {
  /** Any text but the empty one; at Anthropic `_` and the digest follow it. */
  readonly name: string;
  /** A model's name, or what `agents.create` takes in its place. */
  readonly model: string | Readonly<Record<string, unknown>>;
  /** What the agent is told before everything else. */
  readonly system?: string;
  /** Those that are run here are `{ type: 'custom', name, description, input_schema }`. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
  /** Further members: `description`, `mcp_servers`, `skills`, `metadata`. */
  readonly [member: string]: unknown;
}

/** An environment as `environments.create` takes it. The name is put before a digest of all the rest. */
export interface ManagedEnvironmentDescription {
  /** Any text but the empty one; at Anthropic `_` and the digest follow it. */
  readonly name: string;
  /** @default a machine in Anthropic's cloud that may talk to anybody */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly [member: string]: unknown;
}

/** Options of {@link provisionManagedAgent}. */
export interface ProvisionManagedAgentOptions {
  readonly client: AgentProvisioningClient;
  readonly agent: ManagedAgentDescription;
  /** @default one with the agent's name, in Anthropic's cloud */
  readonly environment?: ManagedEnvironmentDescription;
  /** Ends the work; what is made already stays, and is found the next time. */
  readonly signal?: AbortSignal;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** What {@link provisionManagedAgent} answers: options of the provider. */
export interface ProvisionedManagedAgent {
  /** The agent's id. */
  readonly agent: string;
  readonly environmentId: string;
}

/** Options of {@link pruneManagedAgents}. */
export interface PruneManagedAgentsOptions {
  readonly client: AgentProvisioningClient;
  /** As in the description. */
  readonly name: string;
  /** How many of the newest stay, from 1. */
  readonly keep: number;
  /** Ends the work; what is archived already stays so. */
  readonly signal?: AbortSignal;
}

interface Thing {
  readonly id: string;
  readonly name: string;
  readonly archived_at?: string | null;
  readonly created_at?: string;
}

const pageSize = 100;
const maxCreations = 3;
const firstPauseMs = 500;
const cloud = { type: 'cloud', networking: { type: 'unrestricted' } };
/** Who looks and then makes does both alone, or two would make the same. */
const makers = new WeakMap<NamedThings, KeyedMutex<symbol>>();

/**
 * Answers the agent and the environment that are described, and makes what is not there yet. Nothing is made twice: it is
 * looked for before it is made, and looked for again before a creation whose end is not known is repeated. Throws the
 * SDK's own errors, and `BACKEND_FAILED` where a name belongs to something archived.
 *
 * @example
 * const agent = await provisionManagedAgent({ client, agent: { name: 'clerk', model: 'claude-opus-5-5', tools } });
 * const provider = claudeManagedAgentsProvider({ client, ...agent });
 */
export async function provisionManagedAgent({
  client,
  agent,
  environment = { name: agent.name },
  signal = new AbortController().signal,
  clock = systemClock,
}: ProvisionManagedAgentOptions): Promise<ProvisionedManagedAgent> {
  for (const [path, { name }] of Object.entries({ agent, environment }))
    if (typeof name !== 'string' || name === '') throw badOption(`${path}.name`, 'a text', typeof name);
  const { agents, environments } = client.beta;
  const [agentId, environmentId] = await Promise.all([
    ensured(agents, agent, signal, clock),
    ensured(environments, { ...environment, config: environment.config ?? cloud }, signal, clock),
  ]);
  return { agent: agentId, environmentId };
}

/**
 * Archives agents and environments that {@link provisionManagedAgent} made under a name, oldest first, all but the newest.
 * Answers the ids of what was archived.
 */
export async function pruneManagedAgents({
  client,
  name,
  keep,
  signal = new AbortController().signal,
}: PruneManagedAgentsOptions): Promise<readonly string[]> {
  if (!Number.isSafeInteger(keep) || keep < 1) throw badOption('keep', 'a whole number from 1', String(keep));
  const { agents, environments } = client.beta;
  const archived: string[] = [];
  for (const things of [agents, environments]) {
    const versions = await living(things, (found) => isContentName(found.name, name), signal);
    for (const { id } of versions.slice(0, Math.max(0, versions.length - keep))) {
      await things.archive(id, {}, { signal });
      archived.push(id);
    }
  }
  return archived;
}

/** The id of what is described, there already or made. */
async function ensured(
  things: NamedThings,
  { name: base, ...content }: { readonly name: string; readonly [member: string]: unknown },
  signal: AbortSignal,
  clock: Clock,
): Promise<string> {
  const name = contentName(base, content);
  const maker = Symbol(name);
  const mutex = makers.get(things) ?? new KeyedMutex<symbol>();
  makers.set(things, mutex);
  await mutex.enter(name, maker, signal);
  try {
    return await foundOrMade(things, { name, ...content }, signal, clock);
  } finally {
    mutex.leave(name, maker);
  }
}

async function foundOrMade(
  things: NamedThings,
  description: { readonly name: string },
  signal: AbortSignal,
  clock: Clock,
): Promise<string> {
  const { name } = description;
  let failure: unknown;
  for (let creations = 1; ; creations++) {
    // Of two that were made at once in two processes, all take the first.
    const [found] = await living(things, (one) => one.name === name, signal);
    if (found !== undefined) return found.id;
    if (statusOf(failure) === 409) throw nameTaken(name, failure);
    if (creations > maxCreations) throw failure;
    try {
      const { id } = await things.create(description as never, { signal, maxRetries: 0 });
      if (typeof id === 'string' && id !== '') return id;
      throw new AgentFlowError('BACKEND_FAILED', `What was made as ${name} has no id`, { status: 'DATA_LOSS' });
    } catch (error) {
      if (signal.aborted || !mayBeThere(error)) throw error;
      failure = error;
    }
    if (statusOf(failure) !== 409) await pause(clock, firstPauseMs * 2 ** (creations - 1), signal);
  }
}

/** What is not archived, oldest first. */
async function living(
  things: NamedThings,
  isWanted: (thing: Thing) => boolean,
  signal: AbortSignal,
): Promise<readonly Thing[]> {
  const all = await listed<Thing>(things.list({ limit: pageSize }, { signal }));
  const wanted = all.filter((thing) => isWanted(thing) && (thing.archived_at ?? undefined) === undefined);
  return wanted.sort(({ created_at: a = '' }, { created_at: b = '' }) => Date.parse(a) - Date.parse(b) || 0);
}

/** A creation that was refused has made nothing; of any other nobody knows. */
function mayBeThere(error: unknown): boolean {
  if (error instanceof AgentFlowError) return false;
  const status = statusOf(error);
  return status === undefined || status === 408 || status === 409 || status === 429 || status >= 500;
}

function statusOf(error: unknown): number | undefined {
  const { status } = (error ?? {}) as { readonly status?: unknown };
  return typeof status === 'number' ? status : undefined;
}

function nameTaken(name: string, cause: unknown): AgentFlowError {
  const message = `The name ${name} belongs to something that is archived`;
  return new AgentFlowError('BACKEND_FAILED', message, { cause, status: 'ALREADY_EXISTS', details: { name } });
}

function badOption(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}
