/** How a turn has gone, as a chat's client is told it: the model's answer, why the turn ended, and its error. */
import type { MessageData, Part } from 'genkit';
import type { AgentOutput } from 'genkit/beta';
import type { AgentFlowError } from '../../errors.js';
import { frozenJson } from '../../internal/json.js';
import { detailsOf, genkitCauseOf } from '../told-errors.js';
import type { ExposedState, ModelChunk } from './shape.js';

/** Why a turn ended, in Genkit's words. */
export type TurnReason = NonNullable<AgentOutput['finishReason']>;

/** The answer of one turn, as its chunks come. */
export class ChatAnswer {
  readonly #before: MessageData | undefined;
  #parts: Part[] = [];

  /** @param before what the conversation ends with when the turn begins */
  constructor(before?: MessageData) {
    this.#before = before;
  }

  /** What was said so far was another answer. */
  startOver(): void {
    this.#parts = [];
  }

  /** Text that follows text, and reasoning that follows reasoning, is one part. */
  add({ role = 'model', content, aggregated }: ModelChunk): void {
    if (role !== 'model') return;
    if (aggregated) this.#parts.length = 0;
    for (const part of content) {
      const last = this.#parts.at(-1);
      const joined = last === undefined ? undefined : (join(last, part, 'text') ?? join(last, part, 'reasoning'));
      if (joined === undefined) this.#parts.push(part);
      else this.#parts[this.#parts.length - 1] = joined;
    }
  }

  /**
   * The model's answer: what the conversation now ends with if that is new, else what was streamed, else what the handler
   * returned. `undefined` when there is none.
   */
  message({ messages }: ExposedState, returned?: unknown): MessageData | undefined {
    const last = messages?.at(-1);
    if (last?.role === 'model' && last !== this.#before) return last;
    return this.#parts.length > 0 ? { role: 'model', content: [...this.#parts] } : answerFromOutput(returned);
  }
}

function join(before: Part, after: Part, member: 'text' | 'reasoning'): Part | undefined {
  const [first, second] = [before[member], after[member]];
  const areBare = Object.keys(before).length === 1 && Object.keys(after).length === 1;
  if (!areBare || first === undefined || second === undefined) return undefined;
  return { [member]: first + second } as Part;
}

/** Why a turn ended: by this failure, or else with this answer. */
export function turnReason(failure: AgentFlowError | undefined, message: MessageData | undefined): TurnReason {
  if (failure !== undefined) return failure.code === 'RUN_ABORTED' ? 'aborted' : 'failed';
  return isInterrupted(message) ? 'interrupted' : 'stop';
}

/** A message of the model that asks for a tool only a human can be: the turn has stopped to wait for the answer. */
function isInterrupted(message: MessageData | undefined): boolean {
  return message?.content.some((part) => part.toolRequest !== undefined && Boolean(part.metadata?.interrupt)) ?? false;
}

/** What a handler returned, where that is itself an answer. */
function answerFromOutput(output: unknown): MessageData | undefined {
  if (typeof output === 'string') return output === '' ? undefined : { role: 'model', content: [{ text: output }] };
  const isMessage = typeof output === 'object' && output !== null && 'role' in output && 'content' in output;
  return isMessage && Array.isArray(output.content) ? (output as MessageData) : undefined;
}

/** An error as data on the wire: never a stack or a cause, but the details of one of Genkit's that the handler threw. */
export function wireError(error: AgentFlowError): NonNullable<AgentOutput['error']> {
  const { status, message } = error.toJSON();
  // What becomes of a task is kept in a store, which takes JSON only.
  const thrown = frozenJson(genkitCauseOf(error)?.detail, () => {});
  return { status, message, details: thrown === undefined ? detailsOf(error) : thrown };
}
