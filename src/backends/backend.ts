/**
 * CONTRACT: one LLM, whatever it is (an HTTP API, a CLI, a hosted agent, a Genkit model), as a prompt in and a stream of
 * normalised events out. Every rule below is a case of the public suite `testBackend` in `genkitx-agent/testing`.
 */
import type { Usage } from '../../schemas/index.js';
import type { Message, Prompt } from '../providers/provider.js';
import type { BackendFailure } from './failure.js';

export type { BackendFailure, Message, Prompt };

/** How a session is started. */
export interface BackendSessionOptions {
  /** What the model is told before everything else. */
  readonly system?: string;
  /** The conversation so far, for a backend that keeps it itself; where the vendor keeps it, it may be ignored. */
  readonly messages?: readonly Message[];
}

/** One turn of a backend. */
export interface BackendTurn<Session> {
  /**
   * In order, exactly one terminal (`result` or `error`), last; nothing is read after it. May be lazy, and may block until
   * something happens. A reader that leaves early ends the work.
   */
  readonly events: AsyncIterable<BackendEvent>;
  /** Takes the place of the session that was prompted, whatever becomes of the turn. */
  readonly session: Session;
}

/**
 * One LLM. A session is the backend's own: an opaque value that is handed back to it, may be mutable, and is prompted
 * once at a time; a turn that was cancelled counts as over, be its stream a moment from its end. The caller replaces its session with whatever `prompt` and `updateSession` return.
 */
export interface Backend<Session = unknown> {
  /** Names the vendor in errors and telemetry (`gen_ai.provider.name`). */
  readonly name: string;
  /** Opens a session. May throw or reject: then there is none. */
  startSession(options?: BackendSessionOptions): Promise<Session> | Session;
  /**
   * Asks. A turn that cannot begin rejects; one that fails later says so with an `error` event, or by throwing. When
   * `signal` fires, also before the call, the work stops for real and the stream ends: no request stays open, no process alive.
   */
  prompt(
    session: Session,
    prompt: Prompt,
    options: { readonly signal: AbortSignal },
  ): Promise<BackendTurn<Session>> | BackendTurn<Session>;
  /** Folds a successful result into the session. Called once, only then, before anything else is asked of the session. */
  updateSession?(session: Session, result: ResultEvent): Promise<Session> | Session;
  /** Takes up a session by the id its events told, also in another process. */
  resumeSession?(sessionId: string, options?: BackendSessionOptions): Promise<Session> | Session;
  /**
   * Goes on with a turn that another process has left: the session was taken up with `messages` that end with what was
   * asked and the model's calls, and these are their results. Never runs one of them again. A backend without it is asked
   * the same again.
   */
  resumeTurn?(
    session: Session,
    answered: readonly AnsweredCall[],
    options: { readonly signal: AbortSignal },
  ): Promise<BackendTurn<Session>> | BackendTurn<Session>;
  /** Ends a session and what it is still doing. Never throws. */
  terminateSession(session: Session): Promise<void> | void;
}

/** What a turn is made of. Exactly one `result` or `error`, and it is the last. */
export type BackendEvent =
  /** A piece of the answer, to be put right behind the one before. */
  | { readonly type: 'text'; readonly text: string }
  /** The model calls a tool, whoever runs it. The id is unique in its session. */
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly input: unknown }
  /** What the tool answered to the call of that id; `isError`: it failed, and `output` says why. */
  | { readonly type: 'tool_result'; readonly id: string; readonly output: unknown; readonly isError: boolean }
  /** What has been used since the last one: counters that grow are turned into differences. */
  | { readonly type: 'usage'; readonly usage: Usage }
  /** The id to resume by, as soon as it is known; again before the result where the turn has changed it. */
  | { readonly type: 'session'; readonly sessionId: string }
  | ResultEvent
  /** The turn failed; told in the place of a result. */
  | { readonly type: 'error'; readonly error: BackendFailure };

/** A tool call that has its result. */
export interface AnsweredCall {
  /** The one its `tool_use` event told. */
  readonly id: string;
  readonly name: string;
  readonly input: unknown;
  /** As its `tool_result` event told it; where it was kept in between, as JSON has it. */
  readonly output: unknown;
  /** The tool has failed, and `output` says why. */
  readonly isError: boolean;
}

/** The end of a turn that was answered. */
export interface ResultEvent {
  readonly type: 'result';
  /** The whole answer, where it is not simply the texts one after another. */
  readonly text?: string;
  /** The id to resume by; goes before what `session` events told. */
  readonly sessionId?: string;
  /** What the turn cost. */
  readonly costUsd?: number;
  /** Model turns inside this one. */
  readonly numTurns?: number;
  /** Why the model stopped, in the vendor's own word: `end_turn`. */
  readonly stopReason?: string;
  /** The vendor calls it a result and marks it as an error: the turn has failed. */
  readonly isError?: boolean;
  /** For the backend's own `updateSession`; nobody else reads it. */
  readonly data?: unknown;
}

/** One turn, whole. */
export interface Response {
  /** The result's text, else all texts one after another. */
  readonly text: string;
  /** As the backend told them, in order; the first ones, where a bound was reached. */
  readonly events: readonly BackendEvent[];
  /** Events beyond the bound that are not kept in `events`; texts and usage are complete all the same. */
  readonly omittedEvents?: number;
  /** Summed over the turn; `undefined` when the backend does not tell. */
  readonly usage: Usage | undefined;
  /** Milliseconds from asking to the end of the turn. */
  readonly durationMs: number;
  /** The id to resume the backend's session by; `undefined` when the turn told none. */
  readonly sessionId: string | undefined;
  /** US dollars: what the result says, else the usage. Absent when neither does. */
  readonly costUsd?: number;
  /** Model turns inside this one; absent when the backend does not tell. */
  readonly numTurns?: number;
  /** The result's; absent when it told none, and of a turn without a result. */
  readonly stopReason?: string;
  /** The turn failed: this is what there was of it. */
  readonly isError: boolean;
}
