/**
 * Spans after OpenTelemetry's semantic conventions for generative AI: `invoke_agent` around `chat` and `execute_tool`. They
 * say who, how long and how much; what was said is written only where somebody has switched that on.
 */
import { type Attributes, type Context, context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Usage } from '../../schemas/index.js';
import type { Prompt } from '../providers/provider.js';

/** What is written on spans. Nothing is exported unless the application has set up OpenTelemetry. */
export interface TelemetryOptions {
  /** Writes prompts, answers, tool inputs and results on the spans. @default false */
  readonly content?: boolean;
  /** `gen_ai.agent.name`. */
  readonly agentName?: string;
  /** Further attributes for the outermost span. */
  readonly attributes?: Attributes;
}

/** The operations of the conventions that happen here. */
export type Operation = 'invoke_agent' | 'chat' | 'execute_tool';

/** What a span may tell; only what is given is written. */
export interface SpanFacts {
  readonly provider?: string | undefined;
  readonly agentName?: string | undefined;
  readonly conversationId?: string | undefined;
  readonly requestModel?: string | undefined;
  readonly responseModel?: string | undefined;
  readonly usage?: Usage | undefined;
  readonly finishReason?: string | undefined;
  readonly toolName?: string | undefined;
  readonly toolCallId?: string | undefined;
}

/** What was said, for spans that may carry it. */
export interface SpanContent {
  readonly prompt?: Prompt | undefined;
  readonly answer?: string | undefined;
  readonly system?: string | undefined;
  readonly toolInput?: unknown;
  readonly toolOutput?: unknown;
}

const tracer = trace.getTracer('genkitx-agent');

/** A span that is open. */
export class OperationSpan {
  readonly #span: Span;
  readonly #context: Context;
  readonly #withContent: boolean;

  /**
   * @param subject the agent, model or tool that the span is named after
   * @param parent hangs the span below another one, or into a context; the active one by default
   */
  constructor(
    operation: Operation,
    subject: string | undefined,
    { content = false, attributes = {} }: TelemetryOptions = {},
    parent?: OperationSpan | Context,
  ) {
    const within = parent instanceof OperationSpan ? parent.#context : (parent ?? context.active());
    const kind = operation === 'chat' ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const named = subject === undefined ? operation : `${operation} ${subject}`;
    const own = { ...attributes, 'gen_ai.operation.name': operation };
    this.#span = tracer.startSpan(named, { kind, attributes: own }, within);
    this.#context = trace.setSpan(within, this.#span);
    this.#withContent = content;
  }

  /** Runs work so that its own spans hang below this one. */
  run<T>(work: () => T): T {
    return context.with(this.#context, work);
  }

  /** Reads a source so that its own spans hang below this one. */
  async *read<T>(source: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    const iterator = this.run(() => source[Symbol.asyncIterator]());
    let isOver = false;
    try {
      for (;;) {
        const next = await this.run(() => iterator.next());
        isOver = next.done === true;
        if (next.done) return;
        yield next.value;
      }
    } catch (error) {
      isOver = true;
      throw error;
    } finally {
      if (!isOver) await this.run(() => iterator.return?.());
    }
  }

  tell(facts: SpanFacts): void {
    const { usage, finishReason } = facts;
    this.#write({
      'gen_ai.provider.name': facts.provider,
      'gen_ai.agent.name': facts.agentName,
      'gen_ai.conversation.id': facts.conversationId,
      'gen_ai.request.model': facts.requestModel,
      'gen_ai.response.model': facts.responseModel,
      'gen_ai.usage.input_tokens': usage?.inputTokens,
      'gen_ai.usage.output_tokens': usage?.outputTokens,
      'gen_ai.response.finish_reasons': finishReason === undefined ? undefined : [finishReason],
      'gen_ai.tool.name': facts.toolName,
      'gen_ai.tool.call.id': facts.toolCallId,
      'gen_ai.tool.type': facts.toolName === undefined ? undefined : 'function',
    });
  }

  /** Written only when content is switched on. */
  tellContent({ prompt, answer, system, toolInput, toolOutput }: SpanContent): void {
    if (!this.#withContent) return;
    this.#write({
      'gen_ai.system_instructions': system === undefined ? undefined : json([{ type: 'text', content: system }]),
      'gen_ai.input.messages': prompt === undefined ? undefined : json([{ role: 'user', parts: partsOf(prompt) }]),
      'gen_ai.output.messages':
        answer === undefined ? undefined : json([{ role: 'assistant', parts: [{ type: 'text', content: answer }] }]),
      'gen_ai.tool.call.arguments': toolInput === undefined ? undefined : json(toolInput),
      'gen_ai.tool.call.result': toolOutput === undefined ? undefined : json(toolOutput),
    });
  }

  /** @param errorType why it failed, in one word of few; absent when it did not */
  end(errorType?: string): void {
    if (errorType !== undefined) {
      this.#span.setAttribute('error.type', errorType);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }

  #write(attributes: Readonly<Record<string, Attributes[string]>>): void {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) this.#span.setAttribute(name, value);
    }
  }
}

function partsOf(prompt: Prompt): unknown[] {
  if (typeof prompt === 'string') return [{ type: 'text', content: prompt }];
  return prompt.map((part) =>
    part.text === undefined ? { type: 'generic', ...part } : { type: 'text', content: part.text },
  );
}

function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'undefined';
  } catch {
    return String(value);
  }
}
