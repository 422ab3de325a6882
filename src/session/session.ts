/** What a handler remembers with: one session, open for one run. */
import type { Artifact } from '../../schemas/index.js';
import { type AgentFlowError, isAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { type ChangeGuard, diff } from '../internal/diff.js';
import { applyPatch, type PatchOperation } from '../internal/patch.js';
import { Document } from './document.js';
import { ownArtifact, ownChange, snapshot } from './own-values.js';
import { byRecipe, type Recipe } from './recipe.js';
import type { RememberedArtifact, SessionRecord } from './record.js';
import type { SavedSession } from './saved-session.js';
import type { AcceptedInput, SessionParent } from './store.js';

/** Changes a draft of the state in place, or returns the next state. Called once, synchronously. */
export type StateRecipe<State> = (draft: State) => State | void;

/** Shared by all sessions that have not been written to. */
const nothingWritten = Promise.resolve();

/** Where the state stands in the record. */
const statePath = '/state';

/** What an agent remembers between turns and, with a store, between runs. */
export interface Session<State> {
  /** The id the caller gave, else a new UUID. */
  readonly id: string;
  /** The number of the newest saved version; 1 is the session as it was created. */
  readonly version: number;
  /** The state as last saved. Frozen: change it through {@link Session.updateState}. */
  readonly state: Readonly<State>;
  /** The current version of every artifact, in the order the names first appeared. Frozen. */
  readonly artifacts: readonly Artifact[];
  /** The session and version this one was forked from. */
  readonly parent: SessionParent | undefined;
  /**
   * Saves the next state, and resolves when the store has it. Updates are made one after another in the order they were
   * called, so a recipe always sees the update before it.
   *
   * Nothing is changed when it rejects: with `InvalidValueError` when the state does not fit `stateSchema` or is not
   * JSON, `SessionConflictError` or `LeaseLostError` when another writer has the session, `RUN_ENDED` after the run. After
   * `STORE_FAILED` nobody knows: the store is asked before the next update, which then goes on from what is there.
   *
   * @param update a recipe that changes a draft of the state, at the cost of what it changes; or the whole next state,
   *   which is compared with the one before it
   */
  updateState(update: State | StateRecipe<State>): Promise<void>;
  /** Saves an artifact. The same name again becomes its current version; the earlier ones are kept. */
  saveArtifact(artifact: Artifact): Promise<void>;
  /** All that an artifact has been, oldest first; empty for a name never saved. */
  artifactVersions(name: string): readonly Artifact[];
}

/** Checks changes of a state against its schema. */
export interface StateChecker {
  /** The operations that `make` finds below `path`, asking the guard. Throws `InvalidValueError` for a state that does not fit. */
  change(path: string, make: (guard: ChangeGuard) => PatchOperation[]): PatchOperation[];
}

/** What an {@link OpenSession} is made of. */
export interface OpenSessionParts {
  readonly id: string;
  /** 1 for a new session. */
  readonly version: number;
  readonly record: SessionRecord;
  readonly checker: StateChecker;
  readonly parent?: SessionParent | undefined;
  /** Without it the session lives as long as its run. */
  readonly saved?: SavedSession;
}

/** A session held by one run. */
export class OpenSession<State> implements Session<State> {
  readonly id: string;
  readonly parent: SessionParent | undefined;
  readonly #document: Document<SessionRecord>;
  readonly #checker: StateChecker;
  readonly #saved: SavedSession | undefined;
  #version: number;
  /** The store may have one version more: it was asked to save it and never said that it has. */
  #isInDoubt = false;
  #lastWrite: Promise<unknown> = nothingWritten;
  #writes = 0;
  #artifacts: { of: unknown; list: readonly Artifact[] } | undefined;
  #endedBy: AgentFlowError | undefined;

  constructor({ id, version, record, checker, parent, saved }: OpenSessionParts) {
    this.id = id;
    this.parent = parent;
    this.#document = new Document(record);
    this.#checker = checker;
    this.#saved = saved;
    this.#version = version;
  }

  get version(): number {
    return this.#version;
  }

  get state(): Readonly<State> {
    return this.#document.view.state as State;
  }

  get artifacts(): readonly Artifact[] {
    const of = this.#document.view.artifacts;
    if (this.#artifacts?.of !== of) {
      const current = of.flatMap(({ name, versions }) => versions.slice(-1).map((version) => named(name, version)));
      this.#artifacts = { of, list: Object.freeze(current) };
    }
    return this.#artifacts.list;
  }

  artifactVersions(name: string): readonly Artifact[] {
    const remembered = this.#document.view.artifacts.find((artifact) => artifact.name === name);
    return (remembered?.versions ?? []).map((version) => named(name, version));
  }

  updateState(update: State | StateRecipe<State>): Promise<void> {
    const isRecipe = typeof update === 'function';
    // A state that is compared later is copied now, as the caller may change it meanwhile.
    const isAtOnce = this.#writes === 0 && !this.#isInDoubt;
    const next = settled(() => (isRecipe || isAtOnce ? update : snapshot(update, this.#document.seen.state)));
    return this.#write(() => {
      const { working } = this.#document;
      const scope = { isOver: false };
      try {
        const patch = this.#checker.change(statePath, (guard) =>
          isRecipe
            ? byRecipe(working.state, update as Recipe, guard, statePath, scope)
            : diff(working.state, next(), guard, statePath),
        );
        return ownChange(working, patch);
      } finally {
        scope.isOver = true;
      }
    });
  }

  saveArtifact(artifact: Artifact): Promise<void> {
    const checked = settled(() => ownArtifact(artifact));
    return this.#write(() => {
      const { name, ...version } = checked();
      const index = this.#document.working.artifacts.findIndex((remembered) => remembered.name === name);
      const path = index < 0 ? '/artifacts/-' : `/artifacts/${index}/versions/-`;
      const value = Object.freeze(version);
      return [{ op: 'add', path, value: index < 0 ? firstVersion(name, value) : value }];
    });
  }

  /**
   * Records an input that carries an id, before it is run. Answers what was already recorded under the id, or the given
   * input. Without a store ids are remembered by the connection alone.
   */
  async accept(input: AcceptedInput): Promise<AcceptedInput> {
    return this.#saved === undefined ? input : this.#saved.accept(input);
  }

  /** Waits for every save that was asked for; those asked for from here on are answered with `reason`. */
  async end(reason: AgentFlowError): Promise<void> {
    // The result of the run is what the store has: it is asked once more, if need be.
    if (this.#isInDoubt || this.#writes > 0) this.#write(() => []).catch(() => {});
    this.#endedBy ??= reason;
    this.#saved?.finish();
    await this.#lastWrite;
  }

  /** Lets the next connection have the session. */
  async release(): Promise<void> {
    await this.#saved?.release();
  }

  #write(plan: () => PatchOperation[]): Promise<void> {
    const refusal = this.#endedBy;
    const run = async () => {
      if (refusal !== undefined) throw refusal;
      if (this.#isInDoubt) this.#goOnFrom(await this.#unanswered());
      const patch = plan();
      if (patch.length > 0) await this.#commit(patch);
    };
    const isFirst = this.#writes === 0;
    const before = this.#lastWrite;
    const finished = new Deferred<void>();
    this.#lastWrite = finished.promise;
    this.#writes += 1;
    // With nothing before it the plan is made at once: the caller's value is not copied first.
    const write = isFirst ? run() : before.then(run);
    const leave = () => {
      this.#writes -= 1;
      if (this.#writes === 0) this.#lastWrite = nothingWritten;
      finished.resolve();
    };
    // A handler may ignore the promise: the next write must go on and nothing may become an unhandled rejection.
    write.then(leave, leave);
    return write;
  }

  async #commit(patch: readonly PatchOperation[]): Promise<void> {
    const next = () => applyPatch(this.#document.working, patch) as SessionRecord;
    try {
      if (this.#saved !== undefined) await this.#saved.save(this.#version, patch, next);
    } catch (error) {
      if (isRefusal(error)) throw error;
      this.#isInDoubt = true;
      const found = await this.#unanswered().catch(() => undefined);
      // It may be an earlier one that was in doubt, too.
      const isMade = found !== undefined && diff(next(), found).length === 0;
      this.#goOnFrom(found);
      if (!isMade) throw error;
      return;
    }
    this.#take(patch);
  }

  /** The next version is what the patch makes of this one. */
  #take(patch: readonly PatchOperation[]): void {
    this.#version += 1;
    this.#document.apply(patch);
    this.#isInDoubt = false;
  }

  #goOnFrom(found: SessionRecord | undefined): void {
    if (found !== undefined) this.#take(diff(this.#document.working, found));
  }

  /** What the save that nobody has answered has made, if it was made. */
  async #unanswered(): Promise<SessionRecord | undefined> {
    return this.#saved?.recordAfter(this.#version);
  }
}

/** Has the store said that nothing was written? Not with a conflict: whoever holds the session has one only with itself. */
function isRefusal(error: unknown): boolean {
  return isAgentFlowError(error) && (error.code === 'LEASE_LOST' || error.code === 'INVALID_VALUE');
}

function named(name: string, version: Omit<Artifact, 'name'>): Artifact {
  return Object.freeze({ name, ...version });
}

function firstVersion(name: string, version: Omit<Artifact, 'name'>): RememberedArtifact {
  return Object.freeze({ name, versions: Object.freeze([version]) });
}

/** Does the work now; the answer gives out later what it answered, or throws what it threw. */
function settled<T>(work: () => T): () => T {
  try {
    const value = work();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
