/** One session of any backend, with a record of all it has said and cost. */

import type { Usage } from '../../schemas/index.js';
import { AgentFlowError } from '../errors.js';
import type { Backend, BackendSessionOptions, Prompt, Response } from './backend.js';
import { type RunPromptOptions, runPrompt } from './run-prompt.js';
import { addUsage } from './usage.js';

/** How a session is opened. */
export interface OpenBackendSessionOptions extends BackendSessionOptions {
  /** Takes up the session with this id instead of starting one. */
  readonly resume?: string;
}

/**
 * Starts a session, or takes one up. Throws `BACKEND_CANNOT_RESUME` when the backend does not know how to.
 *
 * Source: `AgentWorkshop.Backend` (`history`, `last_result`, `session_id`, `total_cost`, `turn_count`).
 */
export async function openBackendSession<Session>(
  backend: Backend<Session>,
  { resume, ...options }: OpenBackendSessionOptions = {},
): Promise<BackendSession<Session>> {
  if (resume === undefined) return new BackendSession(backend, await backend.startSession(options));
  return new BackendSession(backend, await resumeSession(backend, resume, options), resume);
}

/** Takes a backend's session up by its id. Throws `BACKEND_CANNOT_RESUME` when the backend does not know how to. */
export async function resumeSession<Session>(
  backend: Backend<Session>,
  sessionId: string,
  options: BackendSessionOptions = {},
): Promise<Session> {
  if (backend.resumeSession === undefined)
    throw new AgentFlowError('BACKEND_CANNOT_RESUME', `The backend ${backend.name} cannot take up a session by its id`);
  return backend.resumeSession(sessionId, options);
}

/** A session of a backend that remembers its turns. Prompts sent at once are answered one after another. */
export class BackendSession<Session = unknown> {
  readonly #backend: Backend<Session>;
  readonly #history: Response[] = [];
  readonly #stopped = new AbortController();
  #session: Session;
  #sessionId: string | undefined;
  #usage: Usage | undefined;
  #cost = 0;
  #turns = 0;
  #last: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  /** @param sessionId where it is known before the first turn */
  constructor(backend: Backend<Session>, session: Session, sessionId?: string) {
    this.#backend = backend;
    this.#session = session;
    this.#sessionId = sessionId;
  }

  /** Every turn, oldest first; those that failed are marked `isError`. */
  get history(): readonly Response[] {
    return this.#history;
  }

  /** The newest turn, also when it failed. */
  get lastResult(): Response | undefined {
    return this.#history.at(-1);
  }

  /** The id to resume by, once the backend has told it. */
  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  /** In US dollars, over all turns: those that failed cost money too. */
  get totalCost(): number {
    return this.#cost;
  }

  /** Over all turns; `undefined` when the backend tells nothing. */
  get totalUsage(): Usage | undefined {
    return this.#usage;
  }

  /** Turns that were answered. */
  get turnCount(): number {
    return this.#turns;
  }

  /** Asks, and answers when the turn is over. Rejects when it failed; the record has it all the same. */
  send(prompt: Prompt, options: RunPromptOptions = {}): Promise<Response> {
    const turn = this.#last.then(() => this.#run(prompt, options));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Ends the session and the turn in flight. Prompts that wait are refused. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#stopped.abort(new AgentFlowError('CONNECTION_CLOSED', 'The session of the backend was stopped'));
    await this.#last;
    await this.#backend.terminateSession(this.#session);
  }

  async #run(prompt: Prompt, options: RunPromptOptions): Promise<Response> {
    this.#stopped.signal.throwIfAborted();
    const { signal } = options;
    const either = signal === undefined ? this.#stopped.signal : AbortSignal.any([this.#stopped.signal, signal]);
    const { session, response, error } = await runPrompt(this.#backend, this.#session, prompt, {
      ...options,
      signal: either,
    });
    this.#session = session;
    this.#history.push(response);
    this.#sessionId = response.sessionId ?? this.#sessionId;
    this.#usage = addUsage(this.#usage, response.usage);
    this.#cost += response.costUsd ?? 0;
    if (error !== undefined) throw error;
    this.#turns += 1;
    return response;
  }
}
