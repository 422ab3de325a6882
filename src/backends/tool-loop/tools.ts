/** Tool calls through the handler: a bounded number at once, results in order, each recorded before it is sent. */
import { Deferred } from '../../internal/deferred.js';
import type { ToolResult, ToolUse } from '../../providers/provider.js';
import { inOrder } from '../in-order.js';
import { OperationSpan } from '../telemetry.js';
import { untilAborted } from '../until-aborted.js';
import type { SessionInfo, Settings } from './options.js';

/** Runs the calls of one session. */
export class ToolRunner {
  readonly #settings: Settings;
  readonly #info: SessionInfo;

  constructor(settings: Settings, info: SessionInfo) {
    this.#settings = settings;
    this.#info = info;
  }

  /**
   * Runs the calls that are not known yet; of the others the recorded result is the answer. Begins at most eight at once
   * and answers their results in the order of the calls, each as soon as it and those before it are there.
   *
   * @param signal ends the waiting; a result that comes too late is recorded all the same
   */
  async *run(calls: readonly ToolUse[], signal: AbortSignal, parent?: OperationSpan): AsyncGenerator<ToolResult> {
    await this.#settings.journal.add(this.#info.sessionId, calls);
    for (const result of inOrder(calls, (use) => this.#answer(use, signal, parent)))
      yield await untilAborted(signal, result);
  }

  async #answer(use: ToolUse, signal: AbortSignal, parent: OperationSpan | undefined): Promise<ToolResult> {
    const { journal, unfinishedCalls } = this.#settings;
    const { sessionId } = this.#info;
    signal.throwIfAborted();
    const { isFirst, result: known } = await journal.begin(sessionId, use);
    if (known !== undefined) return known;
    const mayRun = isFirst || unfinishedCalls === 'rerun';
    const result = mayRun ? await this.#call(use, signal, parent) : unfinished(use);
    await journal.record(sessionId, result);
    return result;
  }

  async #call(use: ToolUse, signal: AbortSignal, parent: OperationSpan | undefined): Promise<ToolResult> {
    const { telemetry, clock, toolTimeoutMs } = this.#settings;
    const span = new OperationSpan('execute_tool', use.name, { content: telemetry.content ?? false }, parent);
    const { provider, sessionId } = this.#info;
    span.tell({ provider, conversationId: sessionId, toolName: use.name, toolCallId: use.id });
    span.tellContent({ toolInput: use.input });
    const outOfTime = new AbortController();
    const tooLate = new Deferred<ToolResult>();
    const giveUp = () => {
      outOfTime.abort();
      tooLate.resolve(failed(use, `The tool did not answer within ${toolTimeoutMs} ms`));
    };
    const cancel = toolTimeoutMs === undefined ? () => {} : clock.after(toolTimeoutMs, giveUp, { keepAlive: true });
    const work = span.run(() => this.#handle(use, AbortSignal.any([signal, outOfTime.signal])));
    const result = await Promise.race([work, tooLate.promise]);
    cancel();
    span.tellContent({ toolOutput: result.text });
    span.end(result.isError ? 'tool_error' : undefined);
    return result;
  }

  async #handle(use: ToolUse, signal: AbortSignal): Promise<ToolResult> {
    const { tools, context } = this.#settings;
    try {
      const info = { ...this.#info, callId: use.id, signal };
      const value = await tools.handleToolCall(use.name, use.input, context, info);
      return { toolUseId: use.id, name: use.name, text: textOf(value), isError: false };
    } catch (error) {
      return failed(use, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    }
  }
}

/** What a tool returned, as the model is told it. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined ? '' : (JSON.stringify(value) ?? String(value));
}

function failed({ id, name }: ToolUse, text: string): ToolResult {
  return { toolUseId: id, name, text, isError: true };
}

function unfinished(use: ToolUse): ToolResult {
  return failed(use, 'The call was begun before, and its result is not known. It was not run again.');
}
