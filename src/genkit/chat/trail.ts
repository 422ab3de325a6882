/** The way of one chat through the versions of its session: where it stands, and where its client may go on from. */
import type { AgentOutput, SessionState } from 'genkit/beta';
import type { Artifact } from '../../agent/agent.js';
import type { Session } from '../../session/session.js';
import type { TurnReason } from './answer.js';
import type { ChatShape, ExposedState } from './shape.js';
import { encodeSnapshotId } from './snapshot-id.js';
import { type ChatSnapshots, exposedState } from './snapshots.js';

/** A point a client can go on from. */
export interface Standing {
  readonly sessionId: string;
  readonly version: number;
  readonly state: unknown;
  readonly artifacts: readonly Artifact[];
}

/** What a client needs to go on: the id of a snapshot, or, where no server remembers, the state itself. */
export type ClientMemory = Pick<AgentOutput, 'sessionId' | 'snapshotId' | 'state'>;

/** What a {@link ChatTrail} needs. */
export interface ChatTrailParts {
  readonly shape: ChatShape;
  /** Only for an agent with a store. */
  readonly snapshots: Pick<ChatSnapshots, 'kept'> | undefined;
  /** The state that a client without a server's memory brought along. */
  readonly clientState: SessionState | undefined;
  /** The version the client goes on from, where it names one. */
  readonly version: number | undefined;
}

/** One chat's trail. It begins when the session is open, which a run may end before. */
export class ChatTrail {
  readonly #parts: ChatTrailParts;
  #session: Session<unknown> | undefined;
  #openedAt = 0;
  #lastGood: Standing | undefined;

  constructor(parts: ChatTrailParts) {
    this.#parts = parts;
  }

  /** The session is open: what the client brought along goes into it. */
  async begin(session: Session<unknown>): Promise<void> {
    for (const artifact of this.#parts.clientState?.artifacts ?? []) await session.saveArtifact(artifact as Artifact);
    this.#session = session;
    this.#openedAt = session.version;
    this.markGood();
  }

  /** Where the session stands now; `undefined` before it is open. */
  get here(): Standing | undefined {
    if (this.#session === undefined) return undefined;
    const { id: sessionId, version, state, artifacts } = this.#session;
    // A session that went back to an old version is that version until it is saved, whatever its newest one is.
    const isUnchanged = version === this.#openedAt;
    return { sessionId, version: isUnchanged ? (this.#parts.version ?? version) : version, state, artifacts };
  }

  /** The session's state, in Genkit's words. */
  get exposed(): ExposedState {
    return this.#parts.shape.expose(this.#session?.state ?? {});
  }

  /** A turn went well: one that fails leads back to here. */
  markGood(): void {
    this.#lastGood = this.here;
  }

  /** What a client needs to go on from here. */
  get memory(): ClientMemory {
    return this.#memoryOf(this.here);
  }

  /** The snapshot a client is told of while the chat goes on. None without a store. */
  get lastGoodSnapshot(): Pick<AgentOutput, 'snapshotId'> {
    return this.#parts.snapshots === undefined || this.#lastGood === undefined
      ? {}
      : { snapshotId: encodeSnapshotId(this.#lastGood) };
  }

  /** Where to look after a run that ended so: after a failure before the turn, else at all that was saved. */
  after(reason: TurnReason): Standing | undefined {
    return reason === 'failed' ? this.#lastGood : this.here;
  }

  /** What a client needs to go on after a run that did not end well. */
  async memoryAfter(reason: TurnReason): Promise<ClientMemory> {
    const from = this.after(reason);
    const { snapshots, clientState } = this.#parts;
    if (from === undefined) return clientState === undefined ? {} : { state: clientState };
    // Retention may have dropped the version the turn began with.
    const kept = await snapshots?.kept(from.sessionId, from.version).catch(() => undefined);
    return this.#memoryOf({ ...from, version: kept ?? from.version });
  }

  #memoryOf(from: Standing | undefined): ClientMemory {
    if (from === undefined) return {};
    const { sessionId } = from;
    const { shape, snapshots } = this.#parts;
    if (snapshots !== undefined) return { sessionId, snapshotId: encodeSnapshotId(from) };
    return { sessionId, state: exposedState(shape, from) };
  }
}
