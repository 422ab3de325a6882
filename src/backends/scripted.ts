/** A backend that says what it is told to: for tests of agents and hosts, without a model. */
import { v4 as uuid } from 'uuid';
import type {
  Backend,
  BackendEvent,
  BackendSessionOptions,
  BackendTurn,
  Message,
  Prompt,
  ResultEvent,
} from './backend.js';
import { BackendError } from './backend-error.js';
import { failure } from './failure.js';
import { promptText } from './prompt-text.js';
import { untilAborted } from './until-aborted.js';

/** What a scripted turn is made of. A promise holds the turn until it resolves; `undefined` is no event. */
export type ScriptedStep = BackendEvent | PromiseLike<BackendEvent | undefined | void>;

/** What a turn was asked. */
export interface ScriptedPrompt {
  /** As the backend was asked: text, or parts. */
  readonly prompt: Prompt;
  /** The text of the prompt. */
  readonly text: string;
  readonly sessionId: string;
  /** Turns of the same session that were answered before. */
  readonly earlier: number;
  /** Fires when the turn is cancelled. */
  readonly signal: AbortSignal;
}

/** What happens in a turn: a text and a good end; steps, exactly as given; a refusal to begin; or a function of the prompt. */
export type ScriptedTurn =
  | string
  | readonly ScriptedStep[]
  /** Thrown by `prompt`: the turn cannot begin. */
  | { readonly refuses: unknown }
  | ((
      asked: ScriptedPrompt,
    ) => string | Iterable<ScriptedStep> | AsyncIterable<BackendEvent> | Promise<string | readonly ScriptedStep[]>);

/** A session of a {@link ScriptedBackend}. */
export interface ScriptedSession {
  readonly id: string;
  /** What it was started or resumed with. */
  readonly options: BackendSessionOptions;
}

/** Options of {@link scriptedBackend}. */
export interface ScriptedBackendOptions {
  /** One for each prompt, in order, whatever the session; when they are used up a turn fails. */
  readonly turns?: readonly ScriptedTurn[];
  /** @default 'scripted' */
  readonly name?: string;
  /** Thrown by `startSession` and `resumeSession`. */
  readonly startError?: unknown;
}

/** A backend that says what it is told to, and remembers what it was asked. */
export interface ScriptedBackend extends Backend<ScriptedSession> {
  /** Takes up any id, also one that was never started. Rejects with `startError`, where there is one. */
  resumeSession(sessionId: string, options?: BackendSessionOptions): Promise<ScriptedSession>;
  /** Counts the turn as answered; the session stays the same. */
  updateSession(session: ScriptedSession, result: ResultEvent): ScriptedSession;
  /** Adds turns to the script. */
  script(...turns: readonly ScriptedTurn[]): void;
  /** Every prompt so far, oldest first. */
  readonly prompts: readonly ScriptedPrompt[];
  /** Turns of the script that are left. */
  readonly remaining: number;
  /** Turns that have begun and not ended. */
  readonly active: number;
  /** Sessions started or resumed, oldest first. */
  readonly started: readonly ScriptedSession[];
  /** Sessions terminated, oldest first. */
  readonly terminated: readonly ScriptedSession[];
}

/**
 * A backend that plays a script.
 *
 * @example
 * const backend = scriptedBackend({ turns: ['Hello', [{ type: 'text', text: 'half' }, held.promise]] });
 */
export function scriptedBackend({
  turns = [],
  name = 'scripted',
  startError,
}: ScriptedBackendOptions = {}): ScriptedBackend {
  const script = [...turns];
  const prompts: ScriptedPrompt[] = [];
  const started: ScriptedSession[] = [];
  const terminated: ScriptedSession[] = [];
  /** Turns answered, by session. */
  const answered = new Map<string, number>();
  let active = 0;

  const open = async (id: string, options: BackendSessionOptions): Promise<ScriptedSession> => {
    if (startError !== undefined) throw startError;
    const session = { id, options };
    const isAnswer = ({ role, metadata }: Message) => role === 'model' && metadata?.interrupted !== true;
    const told = options.messages?.filter(isAnswer).length ?? 0;
    answered.set(id, Math.max(told, answered.get(id) ?? 0));
    started.push(session);
    return session;
  };

  async function* play(turn: ScriptedTurn | undefined, asked: ScriptedPrompt): AsyncGenerator<BackendEvent> {
    active += 1;
    try {
      asked.signal.throwIfAborted();
      const said = typeof turn === 'function' ? await untilAborted(asked.signal, Promise.resolve(turn(asked))) : turn;
      const steps = typeof said === 'string' ? wholeTurn(said, asked.sessionId) : (said as Iterable<ScriptedStep>);
      yield* untilCancelled(steps, asked.signal);
    } finally {
      active -= 1;
    }
  }

  return {
    name,
    startSession: (options = {}) => open(`scripted-${uuid()}`, options),
    resumeSession: (sessionId, options = {}) => open(sessionId, options),
    prompt(session, prompt, { signal }): BackendTurn<ScriptedSession> {
      signal.throwIfAborted();
      const earlier = answered.get(session.id) ?? 0;
      const asked = { prompt, text: promptText(prompt), sessionId: session.id, earlier, signal };
      prompts.push(asked);
      const turn = script.shift();
      if (turn === undefined) throw new BackendError(failure(name, 'invalid_request', 'The script has no turn left'));
      if (typeof turn === 'object' && 'refuses' in turn) throw turn.refuses;
      return { session, events: play(turn, asked) };
    },
    updateSession(session) {
      answered.set(session.id, (answered.get(session.id) ?? 0) + 1);
      return session;
    },
    terminateSession(session) {
      terminated.push(session);
    },
    script: (...more) => void script.push(...more),
    prompts,
    started,
    terminated,
    get remaining() {
      return script.length;
    },
    get active() {
      return active;
    },
  };
}

function wholeTurn(text: string, sessionId: string): readonly BackendEvent[] {
  return [
    { type: 'session', sessionId },
    { type: 'text', text },
    { type: 'result', sessionId, stopReason: 'end_turn' },
  ];
}

async function* untilCancelled(
  steps: Iterable<ScriptedStep> | AsyncIterable<BackendEvent>,
  signal: AbortSignal,
): AsyncGenerator<BackendEvent> {
  const iterator = Symbol.asyncIterator in steps ? steps[Symbol.asyncIterator]() : steps[Symbol.iterator]();
  try {
    for (;;) {
      const step = await untilAborted(signal, Promise.resolve(iterator.next()));
      if (step.done) return;
      const event = await untilAborted(signal, Promise.resolve(step.value));
      if (event) yield event;
    }
  } finally {
    // An iterator that is stuck answers when it comes unstuck; nobody waits for that.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
