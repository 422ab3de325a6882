/** LangGraph's checkpoint saver over any of our stores: a thread is a session, and whatever is put is added to its end. */
import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  compareWritesSortKeys,
  copyCheckpoint,
  maxChannelVersion,
  type PendingWrite,
  TASKS,
  WRITES_IDX_MAP,
  writesSortKey,
} from '@langchain/langgraph-checkpoint';
import { v4 as uuid } from 'uuid';
import { systemClock } from '../../src/internal/clock.js';
import { applyPatch } from '../../src/internal/patch.js';
import { holdSession } from '../../src/session/lease.js';
import type { SessionStore } from '../../src/session/store.js';

/** What LangGraph's serializer makes of a value: the kind of it, and its bytes in base64. */
type Packed = readonly [kind: string, bytes: string];

interface StoredCheckpoint {
  readonly kind: 'checkpoint';
  readonly namespace: string;
  readonly id: string;
  readonly parent?: string;
  readonly checkpoint: Packed;
  readonly metadata: Packed;
}

interface StoredWrite {
  readonly kind: 'write';
  readonly namespace: string;
  /** The checkpoint it belongs to. */
  readonly id: string;
  readonly task: string;
  readonly path: string;
  readonly index: number;
  readonly channel: string;
  readonly value: Packed;
}

/** What a channel held from one version of it on: written once, however many checkpoints hold it. */
interface StoredValue {
  readonly kind: 'value';
  readonly namespace: string;
  readonly channel: string;
  readonly version: number | string;
  readonly value: Packed;
}

type Entry = StoredCheckpoint | StoredWrite | StoredValue;

interface Thread {
  readonly entries: readonly Entry[];
}

/** A saver whose threads are sessions of a store. */
export class StoreCheckpointSaver extends BaseCheckpointSaver {
  readonly #store: SessionStore;

  constructor(store: SessionStore) {
    super();
    this.#store = store;
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { thread, namespace = '', id } = placeOf(config);
    const entries = await this.#entries(thread);
    const found = checkpointsOf(entries).find((one) => one.namespace === namespace && (id ?? one.id) === one.id);
    return found && this.#tuple(thread, entries, found);
  }

  async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { namespace, id } = placeOf(config);
    const before = options.before?.configurable?.checkpoint_id as string | undefined;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    const wanted = config.configurable?.thread_id as string | undefined;
    for await (const thread of wanted === undefined ? this.#threads() : [wanted]) {
      const entries = await this.#entries(thread);
      for (const one of checkpointsOf(entries)) {
        if (namespace !== undefined && one.namespace !== namespace) continue;
        if (id !== undefined && one.id !== id) continue;
        if (before !== undefined && one.id >= before) continue;
        const tuple = await this.#tuple(thread, entries, one);
        const metadata = { ...tuple.metadata } as Record<string, unknown>;
        if (!Object.entries(options.filter ?? {}).every(([key, value]) => metadata[key] === value)) continue;
        if (left-- <= 0) return;
        yield tuple;
      }
    }
  }

  async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { thread, namespace = '', id: parent } = placeOf(config);
    if (thread === '') throw new Error('The config names no thread_id');
    const values = Object.entries(newVersions).map(async ([channel, version]): Promise<StoredValue> => {
      return {
        kind: 'value',
        namespace,
        channel,
        version,
        value: await this.#pack(checkpoint.channel_values[channel]),
      };
    });
    await this.#add(thread, [
      ...(await Promise.all(values)),
      {
        kind: 'checkpoint',
        namespace,
        id: checkpoint.id,
        ...(parent === undefined ? {} : { parent }),
        checkpoint: await this.#pack({ ...copyCheckpoint(checkpoint), channel_values: {} }),
        metadata: await this.#pack(metadata),
      },
    ]);
    return configOf(thread, namespace, checkpoint.id);
  }

  async putWrites(config: RunnableConfig, writes: PendingWrite[], task: string, path = ''): Promise<void> {
    const { thread, namespace = '', id } = placeOf(config);
    if (thread === '') throw new Error('The config names no thread_id');
    if (id === undefined) throw new Error('The config names no checkpoint_id');
    const stored = writes.map(async ([channel, value], place): Promise<StoredWrite> => {
      const index = WRITES_IDX_MAP[channel] ?? place;
      return { kind: 'write', namespace, id, task, path, index, channel, value: await this.#pack(value) };
    });
    await this.#add(thread, await Promise.all(stored));
  }

  async deleteThread(thread: string): Promise<void> {
    await this.#store.delete(thread);
  }

  async *#threads(): AsyncGenerator<string> {
    let cursor: string | undefined;
    do {
      const page = await this.#store.list(cursor === undefined ? {} : { cursor });
      for (const { id } of page.sessions) yield id;
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async #entries(thread: string): Promise<readonly Entry[]> {
    const stored = await this.#store.load(thread);
    if (stored === undefined) return [];
    const record = stored.patches.reduce((last: unknown, patch) => applyPatch(last, patch), stored.checkpoint);
    return (record as Thread).entries;
  }

  /** One more version, by whoever has the session; those who come meanwhile wait. */
  async #add(thread: string, added: readonly Entry[]): Promise<void> {
    const hold = await holdSession(this.#store, thread, {
      policy: 'queue',
      owner: uuid(),
      clock: systemClock,
      ttlMs: 60_000,
      signal: new AbortController().signal,
      onLost: () => {},
    });
    try {
      const expectedVersion = (await this.#store.load(thread))?.head ?? 0;
      const patch = added.map((value) => ({ op: 'add' as const, path: '/entries/-', value }));
      const change =
        expectedVersion === 0
          ? { kind: 'checkpoint' as const, record: { entries: added } }
          : { kind: 'patch' as const, patch };
      await this.#store.save(hold.lease, { expectedVersion, change });
    } finally {
      await hold.release();
    }
  }

  async #tuple(thread: string, entries: readonly Entry[], found: StoredCheckpoint): Promise<CheckpointTuple> {
    const { namespace, id, parent } = found;
    const bare = (await this.#unpack(found.checkpoint)) as Checkpoint;
    const checkpoint = { ...bare, channel_values: await this.#values(entries, namespace, bare.channel_versions) };
    const isOld = checkpoint.v < 4 && parent !== undefined;
    return {
      config: configOf(thread, namespace, id),
      checkpoint: isOld ? this.#withSends(checkpoint, await this.#writes(entries, namespace, parent)) : checkpoint,
      metadata: (await this.#unpack(found.metadata)) as CheckpointMetadata,
      pendingWrites: await this.#writes(entries, namespace, id),
      ...(parent === undefined ? {} : { parentConfig: configOf(thread, namespace, parent) }),
    };
  }

  async #values(
    entries: readonly Entry[],
    namespace: string,
    versions: ChannelVersions,
  ): Promise<Record<string, unknown>> {
    const kept = entries.filter(
      (one) => one.kind === 'value' && one.namespace === namespace && versions[one.channel] === one.version,
    ) as StoredValue[];
    const values = kept.map(async ({ channel, value }) => [channel, await this.#unpack(value)] as const);
    return Object.fromEntries((await Promise.all(values)).filter(([, value]) => value !== undefined));
  }

  /** Before version 4 what was to be sent stood among the writes of the parent only. */
  #withSends(checkpoint: Checkpoint, writes: readonly CheckpointPendingWrite[]): Checkpoint {
    const versions = Object.values(checkpoint.channel_versions) as number[];
    const version = versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
    const sends = writes.filter(([, channel]) => channel === TASKS).map(([, , value]) => value);
    return {
      ...checkpoint,
      channel_values: { ...checkpoint.channel_values, [TASKS]: sends },
      channel_versions: { ...checkpoint.channel_versions, [TASKS]: version },
    };
  }

  /** A write that is put again changes nothing, unless it is one of those that stand for the task as a whole. */
  async #writes(entries: readonly Entry[], namespace: string, id: string): Promise<CheckpointPendingWrite[]> {
    const kept = new Map<string, StoredWrite>();
    for (const one of entries) {
      if (one.kind !== 'write' || one.namespace !== namespace || one.id !== id) continue;
      const key = JSON.stringify([one.task, one.index]);
      if (one.index < 0 || !kept.has(key)) kept.set(key, one);
    }
    const keyOf = ({ path, task, index }: StoredWrite) => writesSortKey(path, task, index);
    const sorted = [...kept.values()].sort((a, b) => compareWritesSortKeys(keyOf(a), keyOf(b)));
    return Promise.all(sorted.map(async (one) => [one.task, one.channel, await this.#unpack(one.value)]));
  }

  async #pack(value: unknown): Promise<Packed> {
    const [kind, bytes] = await this.serde.dumpsTyped(value);
    return [kind, Buffer.from(bytes).toString('base64')];
  }

  async #unpack([kind, bytes]: Packed): Promise<unknown> {
    return this.serde.loadsTyped(kind, new Uint8Array(Buffer.from(bytes, 'base64')));
  }
}

/** The newest first; of those put again the last one counts. */
function checkpointsOf(entries: readonly Entry[]): StoredCheckpoint[] {
  const kept = new Map<string, StoredCheckpoint>();
  for (const one of entries) if (one.kind === 'checkpoint') kept.set(JSON.stringify([one.namespace, one.id]), one);
  return [...kept.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
}

function placeOf(config: RunnableConfig): { thread: string; namespace?: string; id?: string } {
  const { thread_id, checkpoint_ns, checkpoint_id } = config.configurable ?? {};
  return {
    thread: String(thread_id ?? ''),
    ...(checkpoint_ns === undefined ? {} : { namespace: String(checkpoint_ns) }),
    ...(checkpoint_id === undefined ? {} : { id: String(checkpoint_id) }),
  };
}

function configOf(thread: string, namespace: string, id: string): RunnableConfig {
  return { configurable: { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: id } };
}
