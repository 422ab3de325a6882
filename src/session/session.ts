/** What a handler remembers with: one session, open for one run. */
import { create } from 'mutative';
import { type Artifact, ArtifactSchema } from '../../schemas/index.js';
import { type AgentFlowError, InvalidValueError, isAgentFlowError, type ValueIssue } from '../errors.js';
import { frozenJson } from '../internal/json.js';
import { applyPatch, type PatchOperation } from '../internal/patch.js';
import { valueIssues } from '../internal/value-issues.js';
import { Document } from './document.js';
import type { Hold } from './lease.js';
import { CheckpointPolicy, type SessionRecord } from './record.js';
import type { AcceptedInput, SessionChange, SessionParent, SessionStore } from './store.js';

/** Changes a draft of the state in place, or returns the next state. Called once, synchronously. */
export type StateRecipe<State> = (draft: State) => State | void;

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
   * JSON, `SessionConflictError` or `LeaseLostError` when another writer has the session, `RUN_ENDED` after the run.
   *
   * @param update the whole next state, or a recipe that changes a draft of it
   */
  updateState(update: State | StateRecipe<State>): Promise<void>;
  /** Saves an artifact. The same name again becomes its current version; the earlier ones are kept. */
  saveArtifact(artifact: Artifact): Promise<void>;
  /** All that an artifact has been, oldest first; empty for a name never saved. */
  artifactVersions(name: string): readonly Artifact[];
}

/** Checks changes of a state against its schema. */
export interface StateChecker {
  /** The operations, below `path`, that lead from one state to the next. Throws `InvalidValueError` for a state that does not fit. */
  change(before: unknown, after: unknown, path: string): PatchOperation[];
}

/** What an {@link OpenSession} is made of. */
export interface OpenSessionParts {
  readonly id: string;
  readonly record: SessionRecord;
  readonly checker: StateChecker;
  readonly parent?: SessionParent | undefined;
  readonly saved?: SavedSession | undefined;
}

/** The stored side of an open session; without it the session lives as long as its run. */
export interface SavedSession {
  readonly store: SessionStore;
  readonly hold: Hold;
  readonly head: number;
  /** How much a load would read now, in characters. */
  readonly loadCost: number;
  /** The record is not what the store's head holds, so the next save must be a whole one. */
  readonly needsCheckpoint: boolean;
  readonly keepVersions: number | undefined;
}

/** A session held by one run. */
export class OpenSession<State> implements Session<State> {
  readonly id: string;
  readonly parent: SessionParent | undefined;
  readonly #document: Document<SessionRecord>;
  readonly #checker: StateChecker;
  readonly #saved: SavedSession | undefined;
  readonly #checkpoints: CheckpointPolicy;
  #version: number;
  #needsCheckpoint: boolean;
  #lastWrite: Promise<unknown> = Promise.resolve();
  #writes = 0;
  #artifacts: { of: unknown; list: readonly Artifact[] } | undefined;
  #endedBy: AgentFlowError | undefined;

  constructor({ id, record, checker, parent, saved }: OpenSessionParts) {
    this.id = id;
    this.parent = parent;
    this.#document = new Document(record);
    this.#checker = checker;
    this.#saved = saved;
    this.#checkpoints = new CheckpointPolicy(saved?.loadCost ?? 0);
    this.#version = saved?.head ?? 1;
    this.#needsCheckpoint = saved?.needsCheckpoint ?? false;
  }

  get version(): number {
    return this.#version;
  }

  get state(): Readonly<State> {
    return this.#document.view.state as State;
  }

  get artifacts(): readonly Artifact[] {
    const of = this.#document.view.artifacts;
    if (this.#artifacts?.of !== of)
      this.#artifacts = { of, list: Object.freeze(of.flatMap(({ name }) => this.artifactVersions(name).slice(-1))) };
    return this.#artifacts.list;
  }

  artifactVersions(name: string): readonly Artifact[] {
    const remembered = this.#document.view.artifacts.find((artifact) => artifact.name === name);
    return (remembered?.versions ?? []).map((version) => Object.freeze({ name, ...version }));
  }

  updateState(update: State | StateRecipe<State>): Promise<void> {
    return this.#write(() => {
      const before = this.#document.working.state;
      const after = typeof update === 'function' ? draft(before as State, update as StateRecipe<State>) : update;
      return asJson(this.#checker.change(before, after, '/state'), 'state');
    });
  }

  saveArtifact(artifact: Artifact): Promise<void> {
    return this.#write(() => {
      const { name, ...version } = checkedArtifact(artifact);
      const index = this.#document.working.artifacts.findIndex((remembered) => remembered.name === name);
      const path = index < 0 ? '/artifacts/-' : `/artifacts/${index}/versions/-`;
      return asJson([{ op: 'add', path, value: index < 0 ? { name, versions: [version] } : version }], 'artifact');
    });
  }

  /**
   * Records an input that carries an id, before it is run. Answers what was already recorded under the id, or the given
   * input. Without a store ids are remembered by the connection alone.
   */
  async accept(input: AcceptedInput): Promise<AcceptedInput> {
    if (this.#saved === undefined) return input;
    const { store, hold } = this.#saved;
    return this.#guarded(() => store.accept(hold.lease, input));
  }

  /** Waits for every save that was begun, and lets no more begin: they are answered with `reason`. */
  async end(reason: AgentFlowError): Promise<void> {
    this.#endedBy ??= reason;
    await this.#lastWrite;
  }

  /** Lets the next connection have the session. */
  async release(): Promise<void> {
    await this.#saved?.hold.release();
  }

  #write(plan: () => PatchOperation[]): Promise<void> {
    const run = async () => {
      if (this.#endedBy !== undefined) throw this.#endedBy;
      const patch = plan();
      if (patch.length > 0) await this.#commit(patch);
    };
    // With nothing before it the plan is made at once, so what the caller does to its own value afterwards is not seen.
    const write = this.#writes === 0 ? run() : this.#lastWrite.then(run);
    this.#writes += 1;
    const settled = () => {
      this.#writes -= 1;
    };
    // A handler may ignore the promise: the next write must go on and nothing may become an unhandled rejection.
    this.#lastWrite = write.then(settled, settled);
    return write;
  }

  async #commit(patch: readonly PatchOperation[]): Promise<void> {
    const saved = this.#saved;
    if (saved !== undefined) {
      const change = this.#changeFor(patch);
      const { keepVersions } = saved;
      const save = { expectedVersion: this.#version, change, ...(keepVersions === undefined ? {} : { keepVersions }) };
      await this.#guarded(() => saved.store.save(saved.hold.lease, save));
      this.#needsCheckpoint = false;
    }
    this.#version += 1;
    this.#document.apply(patch);
  }

  #changeFor(patch: readonly PatchOperation[]): SessionChange {
    const record = () => applyPatch(this.#document.working, patch);
    return this.#needsCheckpoint ? { kind: 'checkpoint', record: record() } : this.#checkpoints.choose(patch, record);
  }

  async #guarded<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      if (isAgentFlowError(error) && error.code === 'LEASE_LOST') this.#saved?.hold.lose();
      throw error;
    }
  }
}

function draft<State>(before: State, recipe: StateRecipe<State>): unknown {
  if (typeof before !== 'object' || before === null) return recipe(before) ?? before;
  const after: unknown = create(before, recipe as (draft: object) => void);
  if (!(after instanceof Promise)) return after;
  after.catch(() => {});
  throw new InvalidValueError('state', [
    { path: '', expected: 'a recipe that returns at once', received: 'a promise' },
  ]);
}

function checkedArtifact(artifact: unknown): Artifact {
  const checked = ArtifactSchema.safeParse(artifact);
  if (checked.success) return checked.data;
  throw new InvalidValueError('artifact', valueIssues(checked.error.issues, artifact));
}

/** The same operations with values that are frozen JSON and nobody else's. */
function asJson(patch: readonly PatchOperation[], kind: 'state' | 'artifact'): PatchOperation[] {
  const issues: ValueIssue[] = [];
  const own = patch.map((operation) => {
    if (operation.op === 'remove') return operation;
    const base = operation.path.split('/').slice(2).join('.');
    const value = frozenJson(operation.value, ({ path, received }) => {
      issues.push({ path: [base, path].filter((part) => part !== '').join('.'), expected: 'a JSON value', received });
    });
    return { ...operation, value };
  });
  if (issues.length > 0) throw new InvalidValueError(kind, issues);
  return own;
}
