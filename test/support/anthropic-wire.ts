/** Anthropic's Messages API as it streams: the frames of one answer, as text. Source: docs.anthropic.com, "Streaming". */

/** One block of an answer. */
export type AnswerBlock =
  | { readonly text: string }
  | { readonly id: string; readonly name: string; readonly input: unknown };

export interface AnswerFacts {
  readonly stopReason?: string;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly model?: string;
  /** Each text in one piece. @default in two */
  readonly whole?: boolean;
}

/** One frame. */
export function frame(event: { readonly type: string; readonly [member: string]: unknown }, end = '\n'): string {
  return `event: ${event.type}${end}data: ${JSON.stringify(event)}${end}${end}`;
}

/** Every event of an answer, texts and tool inputs in two pieces each. */
export function messageEvents(
  blocks: readonly AnswerBlock[],
  { stopReason, inputTokens = 10, outputTokens = 5, model = 'claude-test', whole }: AnswerFacts = {},
): { readonly type: string; readonly [member: string]: unknown }[] {
  const calls = blocks.some((block) => 'name' in block);
  const usage = { input_tokens: inputTokens, output_tokens: 1 };
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, usage };
  const stop = { stop_reason: stopReason ?? (calls ? 'tool_use' : 'end_turn'), stop_sequence: null };
  return [
    { type: 'message_start', message },
    { type: 'ping' },
    ...blocks.flatMap((block, index) => blockEvents(block, index, whole)),
    { type: 'message_delta', delta: stop, usage: { output_tokens: outputTokens } },
    { type: 'message_stop' },
  ];
}

/** A whole answer as the bytes of an event stream, with comments between the frames. */
export function messageStream(blocks: readonly AnswerBlock[], facts: AnswerFacts = {}, end = '\n'): string {
  return messageEvents(blocks, facts)
    .map((event) => `: a comment${end}${end}${frame(event, end)}`)
    .join('');
}

function blockEvents(block: AnswerBlock, index: number, isWhole = false) {
  const start =
    'text' in block ? { type: 'text', text: '' } : { type: 'tool_use', id: block.id, name: block.name, input: {} };
  const whole = 'text' in block ? block.text : JSON.stringify(block.input);
  const half = Math.ceil(whole.length / 2);
  const deltas = (isWhole ? [whole] : [whole.slice(0, half), whole.slice(half)]).map((piece) => ({
    type: 'content_block_delta',
    index,
    delta: 'text' in block ? { type: 'text_delta', text: piece } : { type: 'input_json_delta', partial_json: piece },
  }));
  return [
    { type: 'content_block_start', index, content_block: start },
    ...deltas,
    { type: 'content_block_stop', index },
  ];
}
