/** What a host remembers of one agent in a session store: a JSON document, changed in small steps, saved in groups. */
import type { AgentConfig } from '../agent/agent.js';
import type { AnsweredCall, Message } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import { diff } from '../internal/diff.js';
import { applyPatch, type PatchOperation } from '../internal/patch.js';
import type { Origin } from './behaviour.js';
import type { Totals, TurnResult } from './record.js';

/** Any session store of this package. */
export type HostStore = NonNullable<AgentConfig['store']>;

type StoredSession = NonNullable<Awaited<ReturnType<HostStore['load']>>>;
type Lease = NonNullable<Awaited<ReturnType<HostStore['acquire']>>>;

/** A request as it is kept; the key is its place in the order of arrival. */
export interface KeptRequest {
  readonly ref: string;
  readonly origin: Origin;
  readonly prompt: unknown;
  readonly attempt: number;
}

/** A tool call that has its result. */
export interface KeptCall extends AnsweredCall {
  /** Calls of one round came together: the model had the results of the round before. */
  readonly round: number;
}

/** Everything that is remembered of an agent. */
export interface KeptAgent {
  readonly format: 1;
  /** The behaviour's name, if it has one. */
  readonly behaviour: string | null;
  /** How the backend's session was started. */
  readonly session: unknown;
  readonly sessionId: string | null;
  readonly state: unknown;
  readonly hasRun: boolean;
  readonly halted: boolean;
  /** Places of the request in flight and of the self-chain; the prompt is what `preTurn` made of it. */
  readonly current: { readonly order: number; readonly prompt: unknown } | null;
  readonly chain: number | null;
  /** Tool calls of the turn in flight that have their results. */
  readonly calls: readonly KeptCall[];
  readonly totals: Totals;
  readonly requests: Readonly<Record<string, KeptRequest>>;
  readonly notifications: Readonly<Record<string, unknown>>;
  readonly results: Readonly<Record<string, { readonly ref: string; readonly outcome: unknown }>>;
  readonly history: Readonly<Record<string, TurnResult>>;
  /** The conversation, by turns that were answered: for a backend that does not keep it itself. */
  readonly messages: Readonly<Record<string, readonly Message[]>>;
}

/** Parts of the document that are replaced as a whole. */
export type KeptField = 'sessionId' | 'halted' | 'hasRun' | 'current' | 'chain' | 'calls' | 'totals' | 'state';
/** Parts that hold members of their own. */
export type KeptSection = 'requests' | 'notifications' | 'results' | 'history' | 'messages';

/** A host of the same name takes its predecessor's agents over at once, so the time only matters to strangers. */
const leaseTtlMs = 60_000;
/** Below this many characters of changes a new checkpoint is never worth it. */
const smallestGap = 16_384;

/** The memory of one agent. Whoever opens it last has it; earlier holders are refused with `LEASE_LOST`. */
export class AgentMemory {
  readonly #store: HostStore;
  readonly #lease: Lease;
  /** Its own down to its sections; the values in them are shared and never written into. */
  #document: Writable<KeptAgent> | undefined;
  #head: number;
  #pending: PatchOperation[] = [];
  /** Changes that are to count together; `undefined`: none are awaited. */
  #held: (() => void)[] | undefined;
  #size = 0;
  #wholeSize = 0;
  #isSealed = false;
  #last: Promise<void> = Promise.resolve();
  #scheduled: Promise<void> | undefined;

  /** Use {@link AgentMemory.open}. */
  constructor(store: HostStore, lease: Lease, stored: StoredSession | undefined) {
    this.#store = store;
    this.#lease = lease;
    this.#head = stored?.head ?? 0;
    this.#document = stored === undefined ? undefined : rebuild(stored);
    this.#size = stored?.size ?? 0;
  }

  /** Takes the memory of a name. Rejects with the store's errors. */
  static async open(store: HostStore, name: string, owner: string): Promise<AgentMemory> {
    const lease = await store.acquire(name, { owner, ttlMs: leaseTtlMs, takeover: true });
    if (lease === undefined)
      throw new AgentFlowError('SESSION_BUSY', `The memory of "${name}" is held by another host`);
    return new AgentMemory(store, lease, await store.load(name));
  }

  /** What is remembered; `undefined`: nothing yet. */
  get kept(): KeptAgent | undefined {
    return this.#document;
  }

  /** The first thing remembered. */
  begin(kept: KeptAgent): Promise<void> {
    const { requests, notifications, results, history, messages } = kept;
    const own = { requests: { ...requests }, notifications: { ...notifications }, messages: { ...messages } };
    this.#document = { ...kept, ...own, results: { ...results }, history: { ...history } };
    this.#pending.push({ op: 'replace', path: '', value: kept });
    return this.flush();
  }

  /** Replaces a field; what it shares with its predecessor is not written again. */
  put<Field extends KeptField>(field: Field, value: KeptAgent[Field]): void {
    if (this.#document === undefined || this.#isSealed) return;
    for (const change of diff(this.#document[field], value, undefined, `/${field}`)) this.#pending.push(change);
    this.#document[field] = value;
  }

  add<Section extends KeptSection>(section: Section, key: number, value: KeptAgent[Section][string]): void {
    if (this.#document === undefined || this.#isSealed) return;
    this.#pending.push({ op: 'add', path: `/${section}/${key}`, value });
    (this.#document[section] as Record<number, unknown>)[key] = value;
  }

  remove(section: KeptSection, key: number): void {
    const members = this.#document?.[section] as Record<number, unknown> | undefined;
    if (this.#isSealed || members === undefined || !Object.hasOwn(members, key)) return;
    this.#pending.push({ op: 'remove', path: `/${section}/${key}` });
    delete members[key];
  }

  /**
   * From here to {@link commit} what {@link together} is given waits: all that a piece of work has led to is remembered as
   * one, and a process that dies in between has done none of it. What others change meanwhile is not held up.
   */
  hold(): void {
    this.#held ??= [];
  }

  /** Makes a change: at once, or with all others of the work that goes on. */
  together(change: () => void): void {
    if (this.#held === undefined) change();
    else this.#held.push(change);
  }

  /** The work is done: resolves when the store has all of it, and everything that was changed before. */
  commit(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const change of held) change();
    return this.flush();
  }

  /** Removes every member. */
  clear(section: KeptSection): void {
    for (const key of Object.keys(this.#document?.[section] ?? {})) this.remove(section, Number(key));
  }

  /** Resolves when the store has everything that was changed before the call. Changes of the same moment are one write. */
  flush(): Promise<void> {
    this.#scheduled ??= this.#last = this.#last.then(() => {
      this.#scheduled = undefined;
      return this.#save();
    });
    const flushed = this.#scheduled;
    flushed.catch(() => {});
    return flushed;
  }

  /** Nothing more is remembered: the rest is for whoever opens it next. */
  seal(): void {
    void this.flush();
    this.#isSealed = true;
  }

  /** Forgets everything. */
  async erase(): Promise<void> {
    await this.#last.catch(() => {});
    await this.#store.delete(this.#lease.sessionId);
  }

  /** Lets go, and keeps what is remembered. */
  async release(): Promise<void> {
    await this.flush().catch(() => {});
    await this.#store.release(this.#lease);
  }

  async #save(): Promise<void> {
    const patch = this.#pending;
    if (patch.length === 0) return;
    this.#pending = [];
    this.#size += JSON.stringify(patch).length;
    const isWhole = this.#head === 0 || this.#size > this.#wholeSize * 2 + smallestGap;
    const change = isWhole
      ? ({ kind: 'checkpoint', record: this.#document } as const)
      : ({ kind: 'patch', patch } as const);
    if (isWhole) this.#size = this.#wholeSize = JSON.stringify(this.#document).length;
    await this.#store.save(this.#lease, { expectedVersion: this.#head, change, keepVersions: 1 });
    this.#head += 1;
  }
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

function rebuild({ checkpoint, patches }: StoredSession): Writable<KeptAgent> {
  try {
    let document = checkpoint;
    for (const patch of patches) document = applyPatch(document, patch, 'all');
    return document as Writable<KeptAgent>;
  } catch (cause) {
    throw new AgentFlowError('STORE_CORRUPT', 'What is remembered of the agent does not follow from what was before', {
      cause,
    });
  }
}

/** A remembered agent that does not run. */
export interface KeptAgentInfo {
  readonly name: string;
  /** The name that its behaviour was defined with. */
  readonly behaviour: string | undefined;
  /** It will be halted when it comes back. */
  readonly halted: boolean;
  /** Why what is remembered cannot be read: nothing but the name is known, and it can only be forgotten. */
  readonly error?: unknown;
}

/** What is remembered, without taking it. One that cannot be read leaves the others alone. */
export async function keptAgents(store: HostStore): Promise<KeptAgentInfo[]> {
  const found: KeptAgentInfo[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list(cursor === undefined ? {} : { cursor });
    for (const { id } of page.sessions) {
      const kept = await keptAgent(store, id);
      if (kept !== undefined) found.push(kept);
    }
    cursor = page.next;
  } while (cursor !== undefined);
  return found;
}

async function keptAgent(store: HostStore, name: string): Promise<KeptAgentInfo | undefined> {
  try {
    const stored = await store.load(name);
    if (stored === undefined) return undefined;
    const { behaviour, halted } = rebuild(stored);
    return { name, behaviour: behaviour ?? undefined, halted };
  } catch (error) {
    return { name, behaviour: undefined, halted: false, error };
  }
}

/** The members of a section, in order: JSON objects keep none that a store could not change. */
export function inOrder<Value>(members: Readonly<Record<string, Value>>): [order: number, value: Value][] {
  return Object.entries(members)
    .map(([order, value]): [number, Value] => [Number(order), value])
    .sort(([first], [second]) => first - second);
}
