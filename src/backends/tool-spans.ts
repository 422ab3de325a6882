import { type Context, context } from '@opentelemetry/api';
import type { BackendEvent } from './backend.js';
import { OperationSpan } from './telemetry.js';

/** Spans of tools that run elsewhere, from the events that tell of them: each lasts from its call to its result. */
export class ToolSpans {
  readonly #provider: string;
  readonly #withContent: boolean;
  readonly #outer: Context = context.active();
  readonly #open = new Map<string, OperationSpan>();
  #sessionId: string | undefined;

  /** @param withContent what tools are given and answer is written on their spans */
  constructor(provider: string, withContent: boolean) {
    this.#provider = provider;
    this.#withContent = withContent;
  }

  hear(event: BackendEvent): void {
    if (event.type === 'session') this.#sessionId = event.sessionId;
    if (event.type === 'tool_use') this.#begin(event.id, event.name, event.input);
    if (event.type === 'tool_result') this.#end(event.id, event.output, event.isError);
  }

  /** Ends the spans of calls nobody has told a result of. */
  end(errorType: string | undefined): void {
    for (const span of this.#open.values()) span.end(errorType);
    this.#open.clear();
  }

  #begin(id: string, name: string, input: unknown): void {
    const span = new OperationSpan('execute_tool', name, { content: this.#withContent }, this.#outer);
    span.tell({ provider: this.#provider, conversationId: this.#sessionId, toolName: name, toolCallId: id });
    span.tellContent({ toolInput: input });
    this.#open.set(id, span);
  }

  #end(id: string, output: unknown, isError: boolean): void {
    const span = this.#open.get(id);
    span?.tellContent({ toolOutput: output });
    span?.end(isError ? 'tool_error' : undefined);
    this.#open.delete(id);
  }
}
