/** Any backend as an agent's handler: so it gets sessions, a store, the Dev UI and sockets. */
import { MessageSchema } from 'genkit';
import { z } from '../../schemas/zod.js';
import type { HandlerArgs, HandlerResult, Turn, Usage } from '../agent/agent.js';
import type { Backend, BackendEvent, BackendSessionOptions, Message, Prompt, Response } from '../backends/backend.js';
import { resumeSession } from '../backends/backend-session.js';
import { type PromptOutcome, runPrompt } from '../backends/run-prompt.js';
import type { TelemetryOptions } from '../backends/telemetry.js';
import { addUsage } from '../backends/usage.js';
import { isAgentFlowError } from '../errors.js';
import { messagesOf } from './backend-handler-messages.js';

/** What a backend's agent remembers; the agent's own state may hold more. */
export const BackendStateSchema = z.object({
  /** The conversation. What an interrupted turn had said is marked `metadata.interrupted`. */
  messages: z.array(MessageSchema).default([]),
  /** The backend's own session, to be taken up when this one is resumed. */
  backendSessionId: z.string().optional(),
});

/** What a backend's agent remembers. */
export type BackendState = z.output<typeof BackendStateSchema>;

/** What a backend's agent takes: text, or a Genkit message. */
export const BackendInputSchema = z.union([z.string(), MessageSchema]);

/** What a backend's agent takes: text, or a Genkit message. */
export type BackendInput = z.output<typeof BackendInputSchema>;

/** As much of a handler's arguments as a backend needs; so its agent may remember more, and take less. */
export interface BackendHandlerArgs<Chunk>
  extends Pick<HandlerArgs<BackendState, BackendInput, Chunk>, 'responder' | 'turns'> {
  readonly session: {
    readonly state: Readonly<BackendState>;
    updateState(recipe: (draft: BackendState) => void): Promise<void>;
  };
}

/** A handler that answers every input with a backend's turn. */
export type BackendHandler<Chunk = string> = (args: BackendHandlerArgs<Chunk>) => Promise<HandlerResult<string>>;

/** Options of {@link backendHandler}. */
export interface BackendHandlerOptions<Chunk = string> {
  /** Told to the model before everything else. */
  readonly system?: string;
  /** What the agent's reader gets of an event; `undefined` for nothing. @default the text of text events */
  readonly toChunk?: (event: BackendEvent) => Chunk | undefined;
  /** For the span of each turn. @default names and figures, no content */
  readonly telemetry?: TelemetryOptions;
}

/**
 * A handler that answers every input with a backend's turn. The session keeps the conversation and the id of the
 * backend's session, so a resumed agent resumes its backend, or, where that cannot be done, starts it with the
 * conversation so far. A turn that is cut short keeps what it had said.
 *
 * @example
 * defineAgent(
 *   ai,
 *   { name: 'chat', inputSchema: z.string(), streamSchema: z.string(), stateSchema: BackendStateSchema, store },
 *   backendHandler(backend),
 * );
 */
export function backendHandler<Session>(backend: Backend<Session>, options?: BackendHandlerOptions): BackendHandler;
export function backendHandler<Session, Chunk>(
  backend: Backend<Session>,
  options: BackendHandlerOptions<Chunk> & { readonly toChunk: (event: BackendEvent) => Chunk | undefined },
): BackendHandler<Chunk>;
export function backendHandler<Session>(
  backend: Backend<Session>,
  { system, toChunk = textOf, telemetry }: BackendHandlerOptions<unknown> = {},
): BackendHandler<unknown> {
  return async (args) => {
    const own = { ...(system === undefined ? {} : { system }) };
    const conversation = new Conversation(backend, args, { own, toChunk, telemetry });
    try {
      await args.turns((input, turn) => conversation.answer(input, turn));
    } finally {
      await conversation.end();
    }
    return conversation.result();
  };
}

interface ConversationOptions {
  readonly own: BackendSessionOptions;
  readonly toChunk: (event: BackendEvent) => unknown;
  readonly telemetry: TelemetryOptions | undefined;
}

/** One connection's hold on a backend. */
class Conversation<Session> {
  readonly #backend: Backend<Session>;
  readonly #args: BackendHandlerArgs<unknown>;
  readonly #options: ConversationOptions;
  #session: { readonly current: Session } | undefined;
  #output = '';
  #usage: Usage | undefined;

  constructor(backend: Backend<Session>, args: BackendHandlerArgs<unknown>, options: ConversationOptions) {
    this.#backend = backend;
    this.#args = args;
    this.#options = options;
  }

  result(): { output: string; usage?: Usage } {
    return { output: this.#output, ...(this.#usage === undefined ? {} : { usage: this.#usage }) };
  }

  async answer(input: BackendInput, { signal }: Turn<BackendInput>): Promise<void> {
    if (this.#session === undefined) this.#session = { current: await this.#open() };
    const { telemetry } = this.#options;
    const outcome = await runPrompt(this.#backend, this.#session.current, promptOf(input), {
      signal,
      onEvent: (event) => this.#tell(event),
      ...(telemetry === undefined ? {} : { telemetry }),
    });
    this.#session = { current: outcome.session };
    this.#usage = addUsage(this.#usage, usageOf(outcome.response));
    await this.#keep(input, outcome, signal.aborted);
    if (outcome.error !== undefined) throw outcome.error;
    this.#output = outcome.response.text;
  }

  async end(): Promise<void> {
    if (this.#session !== undefined) await this.#backend.terminateSession(this.#session.current);
  }

  async #open(): Promise<Session> {
    const { messages, backendSessionId } = this.#args.session.state;
    const options = { ...this.#options.own, ...(messages.length === 0 ? {} : { messages: messages as Message[] }) };
    try {
      if (backendSessionId !== undefined) return await resumeSession(this.#backend, backendSessionId, options);
    } catch (error) {
      if (!isAgentFlowError(error) || error.code !== 'BACKEND_CANNOT_RESUME') throw error;
    }
    return this.#backend.startSession(options);
  }

  async #tell(event: BackendEvent): Promise<void> {
    const { session, responder } = this.#args;
    // As soon as it is known, so that a process that dies in the middle of the turn has not lost it.
    if (event.type === 'session' && event.sessionId !== session.state.backendSessionId)
      await session.updateState((draft) => {
        draft.backendSessionId = event.sessionId;
      });
    const chunk = this.#options.toChunk(event);
    if (chunk !== undefined) await responder.send(chunk);
  }

  /** Saves the turn: all of it when it was answered, what there was when it was cut short, nothing when it failed. */
  async #keep(input: BackendInput, { response, error }: PromptOutcome<Session>, wasCut: boolean): Promise<void> {
    if (error !== undefined && !wasCut) return;
    const asked: Message = typeof input === 'string' ? { role: 'user', content: [{ text: input }] } : input;
    const added = messagesOf(asked, response, error !== undefined);
    const { sessionId } = response;
    const saved = this.#args.session.updateState((draft) => {
      draft.messages.push(...(added as BackendState['messages']));
      if (sessionId !== undefined) draft.backendSessionId = sessionId;
    });
    // A turn that was cut short is over either way: whoever took the session away has it.
    await (error === undefined ? saved : saved.catch(() => {}));
  }
}

function textOf(event: BackendEvent): string | undefined {
  return event.type === 'text' ? event.text : undefined;
}

function promptOf(input: BackendInput): Prompt {
  return typeof input === 'string' ? input : (input.content as Message['content']);
}

function usageOf({ usage, costUsd }: Response): Usage | undefined {
  return costUsd === undefined ? usage : { ...usage, costUsd };
}
