/** A tool journal in a session store: one small session for each provider session, a patch for each step. */
import { v4 as uuid } from 'uuid';
import { isAgentFlowError } from '../../errors.js';
import { type Clock, systemClock } from '../../internal/clock.js';
import { applyPatch, type PatchOperation } from '../../internal/patch.js';
import type { ToolResult, ToolUse } from '../../providers/provider.js';
import type { BegunCall, ToolJournal } from './journal.js';

/** The lease of a store, handed back to it as it came. */
interface Lease {
  readonly sessionId: string;
  readonly owner: string;
  readonly fence: number;
}

/** As much of a `SessionStore` as a journal needs; every `SessionStore` fits. */
export interface JournalStore {
  acquire(sessionId: string, options: { owner: string; ttlMs: number }): Promise<Lease | undefined>;
  release(lease: Lease): Promise<void>;
  load(sessionId: string): Promise<
    | {
        readonly head: number;
        readonly checkpoint: unknown;
        readonly patches: readonly (readonly PatchOperation[])[];
      }
    | undefined
  >;
  save(
    lease: Lease,
    save: {
      readonly expectedVersion: number;
      readonly change:
        | { readonly kind: 'checkpoint'; readonly record: unknown }
        | { readonly kind: 'patch'; readonly patch: readonly PatchOperation[] };
    },
  ): Promise<void>;
}

/** Options of {@link sessionToolJournal}. */
export interface SessionToolJournalOptions {
  /** Put before a provider's session id to make the id in the store. @default 'tool-calls:' */
  readonly prefix?: string;
  /** How long the store keeps the journal for a process that dies while it writes, in milliseconds. @default 10_000 */
  readonly leaseTtlMs?: number;
  /** @default the machine's */
  readonly clock?: Clock;
}

/**
 * A {@link ToolJournal} kept in a session store, so that a call is not run twice across a crash either, nor by two
 * processes on the same session. The store's `delete` forgets a session's calls.
 *
 * @example
 * runSession(provider, { handler, sessionId, journal: sessionToolJournal(store) });
 */
export function sessionToolJournal(
  store: JournalStore,
  { prefix = 'tool-calls:', leaseTtlMs = 10_000, clock = systemClock }: SessionToolJournalOptions = {},
): ToolJournal {
  const open = new Map<string, CallBook>();
  const book = (sessionId: string): CallBook => {
    const found = open.get(sessionId) ?? new CallBook(store, `${prefix}${sessionId}`, leaseTtlMs, clock);
    open.set(sessionId, found);
    return found;
  };
  return {
    add: async (sessionId, uses) => {
      await book(sessionId).change((calls) =>
        uses.filter(({ id }) => calls.every(({ use }) => use.id !== id)).map((use) => added({ use })),
      );
    },
    async begin(sessionId, use): Promise<BegunCall> {
      let answer: BegunCall = { isFirst: true };
      await book(sessionId).change((calls) => {
        const index = calls.findIndex((call) => call.use.id === use.id);
        const known = calls[index];
        answer = { isFirst: known?.isBegun !== true, ...(known?.result === undefined ? {} : { result: known.result }) };
        if (known === undefined) return [added({ use, isBegun: true })];
        return known.isBegun ? [] : [set(index, 'isBegun', true)];
      });
      return answer;
    },
    record: (sessionId, result) =>
      book(sessionId).change((calls) => {
        const index = calls.findIndex(({ use }) => use.id === result.toolUseId);
        return index < 0 || calls[index]?.result !== undefined ? [] : [set(index, 'result', result)];
      }),
    sending: (sessionId, callIds) =>
      book(sessionId).change((calls) =>
        calls.flatMap((call, index) =>
          callIds.includes(call.use.id) && !call.isSent ? [set(index, 'isSent', true)] : [],
        ),
      ),
    async unsent(sessionId) {
      const calls = await book(sessionId).read();
      return calls.filter(({ isSent }) => !isSent).map(({ use }) => use);
    },
  };
}

interface Call {
  readonly use: ToolUse;
  readonly isBegun?: boolean;
  readonly isSent?: boolean;
  readonly result?: ToolResult;
}

function added(call: Call): PatchOperation {
  return { op: 'add', path: '/calls/-', value: call };
}

function set(index: number, member: keyof Call, value: unknown): PatchOperation {
  return { op: 'add', path: `/calls/${index}/${member}`, value };
}

/** The calls of one session. Changes are made one after another, each against the newest version. */
class CallBook {
  readonly #store: JournalStore;
  readonly #id: string;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  readonly #owner: string;
  #head = 0;
  #calls: readonly Call[] = [];
  #isLoaded = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: JournalStore, id: string, ttlMs: number, clock: Clock) {
    this.#store = store;
    this.#id = id;
    this.#ttlMs = ttlMs;
    this.#clock = clock;
    this.#owner = `tool-journal-${uuid()}`;
  }

  async read(): Promise<readonly Call[]> {
    await this.#last;
    await this.#load();
    return this.#calls;
  }

  /** Writes what `plan` makes of the calls as they are; it is asked again when somebody else wrote meanwhile. */
  change(plan: (calls: readonly Call[]) => PatchOperation[]): Promise<void> {
    const change = this.#last.then(() => this.#change(plan));
    this.#last = change.catch(() => {});
    return change;
  }

  async #change(plan: (calls: readonly Call[]) => PatchOperation[]): Promise<void> {
    if (!this.#isLoaded) await this.#load();
    for (;;) {
      const patch = plan(this.#calls);
      if (patch.length === 0) return;
      if (await this.#save(patch)) return;
      await this.#load();
    }
  }

  async #load(): Promise<void> {
    const stored = await this.#store.load(this.#id);
    this.#isLoaded = true;
    this.#head = stored?.head ?? 0;
    const record = stored?.patches.reduce((value: unknown, patch) => applyPatch(value, patch), stored.checkpoint);
    this.#calls = (record as { calls: readonly Call[] } | undefined)?.calls ?? [];
  }

  /** False when another process wrote first. */
  async #save(patch: readonly PatchOperation[]): Promise<boolean> {
    const before = { calls: this.#calls };
    const after = applyPatch(before, patch) as { calls: readonly Call[] };
    const change =
      this.#head === 0 ? ({ kind: 'checkpoint', record: after } as const) : ({ kind: 'patch', patch } as const);
    const lease = await this.#hold();
    try {
      await this.#store.save(lease, { expectedVersion: this.#head, change });
    } catch (error) {
      if (isAgentFlowError(error) && (error.code === 'SESSION_CONFLICT' || error.code === 'LEASE_LOST')) return false;
      throw error;
    } finally {
      await this.#store.release(lease).catch(() => {});
    }
    this.#head += 1;
    this.#calls = after.calls;
    return true;
  }

  async #hold(): Promise<Lease> {
    for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 500)) {
      const lease = await this.#store.acquire(this.#id, { owner: this.#owner, ttlMs: this.#ttlMs });
      if (lease !== undefined) return lease;
      await new Promise<void>((resolve) => void this.#clock.after(waitMs, resolve, { keepAlive: true }));
    }
  }
}
