/** What goes on inside one `generate`: every model call and every tool call, as events and spans, stopped by one signal. */
import { type Context, context, trace } from '@opentelemetry/api';
import {
  type GenerateResponseChunkData,
  type GenerateResponseData,
  generateMiddleware,
  type MiddlewareRef,
  type ToolResponsePart,
} from 'genkit';
import type { BackendEvent } from '../backends/backend.js';
import { OperationSpan, type TelemetryOptions } from '../backends/telemetry.js';
import { untilAborted } from '../backends/until-aborted.js';
import { toUsage } from '../backends/usage.js';
import { textOf } from './model-messages.js';

/** What a {@link GenerateWatch} watches for. */
export interface WatchParts {
  readonly provider: string;
  readonly model: string | undefined;
  readonly sessionId: string;
  /** Told what happens, as it happens. */
  readonly tell: (event: BackendEvent) => void;
  /** Ends the work: no model and no tool is called any more, whatever a plugin makes of its signal. */
  readonly signal: AbortSignal;
  readonly telemetry: TelemetryOptions;
}

let watches = 0;

/** Watches one `generate`. */
export class GenerateWatch {
  readonly #parts: WatchParts;
  readonly #outer: Context = context.active();
  #isSpeaking = false;
  #modelError: unknown;
  #modelCalls = 0;
  #toolCalls = 0;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** True while a model is in the middle of its answer: an error then is a connection that was lost. */
  get isSpeaking(): boolean {
    return this.#isSpeaking;
  }

  /** What a model call threw last. */
  get modelError(): unknown {
    return this.#modelError;
  }

  get modelCalls(): number {
    return this.#modelCalls;
  }

  /** For `use`. */
  middleware(): MiddlewareRef {
    // Genkit looks middleware up by its name: under one name, one watch would be taken for another.
    watches += 1;
    return generateMiddleware({ name: `genkitx-agent-watch-${watches}` }, () => ({
      model: (request, run, next) =>
        this.#callModel((onChunk) => next(request, { ...run, abortSignal: this.#parts.signal, onChunk })),
      tool: async (part, run, next) => {
        const { name, input, ref } = part.toolRequest;
        this.#toolCalls += 1;
        const id = ref ?? `${this.#parts.sessionId}-${this.#modelCalls}.${this.#toolCalls}`;
        const failed = (error: unknown): ToolResponsePart => ({
          toolResponse: { name, ...(ref === undefined ? {} : { ref }), output: { error: messageOf(error) } },
        });
        return this.#callTool({ id, name, input }, failed, () =>
          next(part, { ...run, abortSignal: this.#parts.signal }),
        );
      },
    }))();
  }

  async #callModel(
    call: (onChunk: (chunk: GenerateResponseChunkData) => void) => Promise<GenerateResponseData>,
  ): Promise<GenerateResponseData> {
    const { signal, tell, model } = this.#parts;
    signal.throwIfAborted();
    this.#modelCalls += 1;
    const span = this.#span('chat', model ?? this.#parts.provider);
    let said = '';
    const say = (text: string) => {
      if (text === '' || signal.aborted) return;
      said += text;
      this.#isSpeaking = true;
      tell({ type: 'text', text });
    };
    const onChunk = ({ content, aggregated }: GenerateResponseChunkData) => {
      const text = textOf(content);
      say(aggregated ? text.slice(said.length) : text);
    };
    try {
      const response = await untilAborted(
        signal,
        span.run(() => call(onChunk)),
      );
      this.#isSpeaking = false;
      const whole = textOf(response.message?.content ?? []);
      // A model that does not stream, or streams a part of what it says.
      if (whole.startsWith(said)) say(whole.slice(said.length));
      this.#isSpeaking = false;
      const usage = toUsage(response.usage);
      if (usage !== undefined) tell({ type: 'usage', usage });
      span.tell({ usage, finishReason: response.finishReason });
      span.tellContent({ answer: whole });
      span.end();
      return response;
    } catch (error) {
      this.#modelError = error;
      span.end(signal.aborted ? 'cancelled' : errorType(error));
      throw error;
    }
  }

  /** A tool that throws is an answer to the model; one that is interrupted, or that nobody waits for, is not. */
  async #callTool(
    { id, name, input }: { id: string; name: string; input: unknown },
    failed: (error: unknown) => ToolResponsePart,
    call: () => Promise<ToolResponsePart | undefined>,
  ): Promise<ToolResponsePart | undefined> {
    const { signal, tell } = this.#parts;
    signal.throwIfAborted();
    tell({ type: 'tool_use', id, name, input });
    const span = this.#span('execute_tool', name);
    span.tell({ toolName: name, toolCallId: id });
    span.tellContent({ toolInput: input });
    try {
      const answer = await untilAborted(signal, span.run(call));
      tell({ type: 'tool_result', id, output: answer?.toolResponse.output, isError: false });
      span.tellContent({ toolOutput: answer?.toolResponse.output });
      span.end();
      return answer;
    } catch (error) {
      const isInterrupt = error instanceof Error && error.name === 'ToolInterruptError';
      span.end(isInterrupt ? undefined : signal.aborted ? 'cancelled' : errorType(error));
      if (isInterrupt || signal.aborted) throw error;
      const answer = failed(error);
      tell({ type: 'tool_result', id, output: answer.toolResponse.output, isError: true });
      return answer;
    }
  }

  /** Below Genkit's own span where that is part of the caller's trace; outside a flow Genkit starts another. */
  #span(operation: 'chat' | 'execute_tool', subject: string): OperationSpan {
    const { provider, sessionId, model, telemetry } = this.#parts;
    const here = context.active();
    const traceOf = (within: Context) => trace.getSpanContext(within)?.traceId;
    const parent = traceOf(here) === traceOf(this.#outer) ? here : this.#outer;
    const span = new OperationSpan(operation, subject, { content: telemetry.content ?? false }, parent);
    span.tell({ provider, conversationId: sessionId, requestModel: operation === 'chat' ? model : undefined });
    return span;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function errorType(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
