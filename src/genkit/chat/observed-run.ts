/** Runs that somebody follows from outside: told of every save while the handler notices nothing. */
import type { AgentHandler, Artifact, HandlerArgs, HandlerResult, Responder } from '../../agent/agent.js';
import type { Session, StateRecipe } from '../../session/session.js';

/** Somebody who follows a run. */
export interface RunObserver {
  /** The session is open; the handler begins when this resolves. */
  opened(session: Session<unknown>): Promise<void>;
  /** The state is another one. Called before the handler goes on. */
  stateSaved(): void;
  /** An artifact has a new version. Called before the handler goes on. */
  artifactSaved(artifact: Artifact): void;
}

/** By the action context: of all that a run is opened with, the handler is given only that as it was. */
const observers = new WeakMap<object, RunObserver>();

/** The action context for a run that is to be followed: the same members, in an object that stands for the run. */
export function observedContext(context: Record<string, unknown>, observer: RunObserver): Record<string, unknown> {
  const own = { ...context };
  observers.set(own, observer);
  return own;
}

/** The same handler; runs whose context comes from {@link observedContext} are followed. */
export function observable<State, In, Out, Chunk, Stream, Result extends HandlerResult<Out>>(
  handler: AgentHandler<State, In, Out, Chunk, Stream, Result>,
): AgentHandler<State, In, Out, Chunk, Stream, Result> {
  const observed = async (args: HandlerArgs<State, In, Chunk, Stream>, observer: RunObserver): Promise<Result> => {
    await observer.opened(args.session);
    return handler({ ...args, ...endingTurns(args), session: new ObservedSession(args.session, observer) });
  };
  return (args) => {
    const observer = observers.get(args.context);
    return observer === undefined ? handler(args) : observed(args, observer);
  };
}

/** Every turn ends, and once: a handler that asks for the next input has answered the last one, even if it does not say so. */
function endingTurns<State, In, Chunk, Stream>(
  args: HandlerArgs<State, In, Chunk, Stream>,
): Pick<HandlerArgs<State, In, Chunk, Stream>, 'inputStream' | 'responder' | 'turns'> {
  let isTurnOpen = false;
  const responder: Responder<Chunk> = {
    send: (chunk) => args.responder.send(chunk),
    endTurn: async () => {
      if (isTurnOpen) await args.responder.endTurn();
      isTurnOpen = false;
    },
  };
  const turns: typeof args.turns = (work, options) =>
    args.turns((input, turn) => {
      isTurnOpen = true;
      return work(input, turn);
    }, options);
  const next = async (inputs: AsyncIterator<In>): Promise<IteratorResult<In, undefined>> => {
    if (isTurnOpen) await responder.endTurn();
    const result = await inputs.next();
    isTurnOpen = !result.done;
    return result;
  };
  const iterate = (): AsyncIterator<In, undefined> => {
    const inputs = args.inputStream[Symbol.asyncIterator]();
    return { next: () => next(inputs), return: async () => ({ value: undefined, done: true }) };
  };
  return { responder, turns, inputStream: { [Symbol.asyncIterator]: iterate } };
}

/** A session that says what is saved. */
class ObservedSession<State> implements Session<State> {
  readonly #session: Session<State>;
  readonly #observer: RunObserver;

  constructor(session: Session<State>, observer: RunObserver) {
    this.#session = session;
    this.#observer = observer;
  }

  get id(): string {
    return this.#session.id;
  }

  get version(): number {
    return this.#session.version;
  }

  get state(): Readonly<State> {
    return this.#session.state;
  }

  get artifacts(): readonly Artifact[] {
    return this.#session.artifacts;
  }

  get parent(): Session<State>['parent'] {
    return this.#session.parent;
  }

  artifactVersions(name: string): readonly Artifact[] {
    return this.#session.artifactVersions(name);
  }

  updateState(update: State | StateRecipe<State>): Promise<void> {
    const saved = this.#session.updateState(update);
    // The promise that is handed out stays the session's own, which a handler may ignore.
    saved.then(
      () => this.#observer.stateSaved(),
      () => {},
    );
    return saved;
  }

  saveArtifact(artifact: Artifact): Promise<void> {
    const saved = this.#session.saveArtifact(artifact);
    saved.then(
      () => this.#observer.artifactSaved(this.#session.artifactVersions(artifact.name).at(-1) ?? artifact),
      () => {},
    );
    return saved;
  }
}
