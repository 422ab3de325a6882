import type { Genkit, MessageData, ModelArgument, ToolArgument, ToolResponsePart } from 'genkit';
import { v4 as uuid } from 'uuid';
import type { Backend, BackendEvent, BackendSessionOptions, Prompt, ResultEvent } from '../backends/backend.js';
import { type BackendFailure, failure } from '../backends/failure.js';
import type { TelemetryOptions } from '../backends/telemetry.js';
import { EventQueue } from './event-queue.js';
import { GenerateWatch } from './genkit-backend-watch.js';
import { genkitFailure } from './genkit-failure.js';
import { systemMessages, userMessage } from './model-messages.js';

/** Options of {@link genkitBackend}. */
export interface GenkitBackendOptions {
  /** A model's name or reference, as for `ai.generate`. */
  readonly model: ModelArgument;
  /** Told to the model before everything else, unless a session says otherwise. */
  readonly system?: string;
  /** Names or actions, as for `ai.generate`. A tool that throws answers the model with its error. */
  readonly tools?: readonly ToolArgument[];
  /** The model's own configuration: `temperature`, `maxOutputTokens` and the like. */
  readonly config?: Record<string, unknown>;
  /** How often the model may call tools in one turn. @default Genkit's, 5 */
  readonly maxTurns?: number;
  /** @default 'genkit' */
  readonly name?: string;
  /** Only `content` is heeded: what was said is written on the spans. */
  readonly telemetry?: TelemetryOptions;
}

/** A session of {@link genkitBackend}: the conversation, which no vendor keeps for it. */
export interface GenkitBackendSession {
  readonly id: string;
  /** The conversation so far, oldest first; a turn joins it when it was answered. */
  readonly messages: readonly MessageData[];
  /** What the model is told before everything else; `undefined`: nothing. */
  readonly system: string | undefined;
  /** Fires when the session is terminated. */
  readonly ended: AbortController;
}

/** What a turn adds to the conversation, which it may have changed from `from` on. */
interface Addition {
  readonly from: number;
  readonly messages: readonly MessageData[];
}

/**
 * Any Genkit model as a backend: streams, calls tools, keeps the conversation in the session, and stops at its signal
 * even where a plugin does not heed it. A tool interrupt ends the turn with the stop reason `tool_interrupt`; prompt the
 * answering `toolResponse` parts to go on.
 *
 * Resuming needs the conversation (`messages`): Genkit's models remember nothing.
 */
export function genkitBackend(ai: Genkit, options: GenkitBackendOptions): Backend<GenkitBackendSession> {
  const { name = 'genkit' } = options;
  const open = (
    id: string,
    { messages = [], system = options.system }: BackendSessionOptions,
  ): GenkitBackendSession => ({
    id,
    messages: structuredClone(messages) as MessageData[],
    system,
    ended: new AbortController(),
  });
  const ask = (session: GenkitBackendSession, prompt: Prompt, signal: AbortSignal) => ({
    session,
    events: new GenkitTurn(ai, { ...options, name }, session, signal).events(prompt),
  });
  return {
    name,
    startSession: (given = {}) => open(`genkit-${uuid()}`, given),
    resumeSession: (sessionId, given = {}) => open(sessionId, given),
    prompt: (session, prompt, { signal }) => ask(session, prompt, signal),
    // As Genkit resumes what a tool interrupt has stopped.
    resumeTurn(session, answered, { signal }) {
      const answers = answered.map(({ id: ref, name: tool, output }) => ({
        toolResponse: { ref, name: tool, output },
      }));
      return ask(session, answers, signal);
    },
    updateSession(session, { data }: ResultEvent) {
      const { from, messages } = data as Addition;
      return { ...session, messages: [...session.messages.slice(0, from), ...messages] };
    },
    terminateSession: ({ ended }) => ended.abort(),
  };
}

/** One turn of a Genkit model. */
class GenkitTurn {
  readonly #ai: Genkit;
  readonly #options: GenkitBackendOptions & { readonly name: string };
  readonly #session: GenkitBackendSession;
  readonly #left = new AbortController();
  readonly #stop: AbortSignal;
  readonly #queue = new EventQueue<BackendEvent>();

  constructor(
    ai: Genkit,
    options: GenkitBackendOptions & { readonly name: string },
    session: GenkitBackendSession,
    signal: AbortSignal,
  ) {
    this.#ai = ai;
    this.#options = options;
    this.#session = session;
    this.#stop = AbortSignal.any([signal, session.ended.signal, this.#left.signal]);
  }

  async *events(prompt: Prompt): AsyncGenerator<BackendEvent, void, undefined> {
    yield { type: 'session', sessionId: this.#session.id };
    try {
      void this.#generate(prompt);
      yield* this.#queue;
    } finally {
      this.#left.abort();
    }
  }

  /** Tells everything through the queue; never rejects. */
  async #generate(prompt: Prompt): Promise<void> {
    const { model, telemetry = {}, name: provider } = this.#options;
    const watch = new GenerateWatch({
      provider,
      model: modelName(model),
      sessionId: this.#session.id,
      tell: (event) => this.#queue.push(event),
      signal: this.#stop,
      telemetry,
    });
    try {
      this.#stop.throwIfAborted();
      const result = await this.#answer(prompt, watch);
      this.#queue.push(result);
    } catch (thrown) {
      this.#queue.push({ type: 'error', error: this.#failure(thrown, watch) });
    }
    this.#queue.end();
  }

  async #answer(prompt: Prompt, watch: GenerateWatch): Promise<BackendEvent> {
    const { tools = [], config, maxTurns, model, name } = this.#options;
    const { system, messages: history } = this.#session;
    const first = systemMessages(system);
    const answers = this.#answersToInterrupts(prompt);
    // Genkit completes the message it resumes in place, so it gets one of its own.
    const asked = answers === undefined ? [...history, userMessage(prompt)] : structuredClone([...history]);
    const response = await this.#ai.generate({
      model,
      messages: [...first, ...asked],
      tools: [...tools],
      use: [watch.middleware()],
      abortSignal: this.#stop,
      ...(config === undefined ? {} : { config }),
      ...(maxTurns === undefined ? {} : { maxTurns }),
      ...(answers === undefined ? {} : { resume: { respond: answers } }),
    });
    const { finishReason, text } = response;
    if (finishReason === 'length')
      return { type: 'error', error: failure(name, 'incomplete', 'The model stopped at its limit of tokens') };
    const from = Math.max(0, answers === undefined ? history.length : history.length - 1);
    const data: Addition = { from, messages: response.messages.slice(first.length + from) };
    return {
      type: 'result',
      sessionId: this.#session.id,
      stopReason: stopReasons[finishReason] ?? finishReason ?? 'end_turn',
      numTurns: watch.modelCalls,
      data,
      ...(watch.modelCalls > 1 ? {} : { text }),
    };
  }

  /** The parts of a prompt that answers the tool interrupts of the turn before. */
  #answersToInterrupts(prompt: Prompt): ToolResponsePart[] | undefined {
    if (typeof prompt === 'string' || prompt.length === 0) return undefined;
    const last = this.#session.messages.at(-1);
    const isInterrupted = last?.role === 'model' && last.content.some(({ toolRequest }) => toolRequest !== undefined);
    const isAnswer = prompt.every(({ toolResponse }) => toolResponse !== undefined);
    return isInterrupted && isAnswer ? (structuredClone(prompt) as ToolResponsePart[]) : undefined;
  }

  #failure(thrown: unknown, { isSpeaking, modelError }: GenerateWatch): BackendFailure {
    const { name: provider } = this.#options;
    return genkitFailure(thrown, { provider, signal: this.#stop, isModelCall: thrown === modelError, isSpeaking });
  }
}

const stopReasons: Readonly<Record<string, string>> = { stop: 'end_turn', interrupted: 'tool_interrupt' };

function modelName(model: ModelArgument): string | undefined {
  if (typeof model === 'string') return model;
  return 'name' in model && typeof model.name === 'string' ? model.name : undefined;
}
