/** OpenAI's Responses API as it streams: the frames of one response. Source: platform.openai.com, "Streaming events". */

/** One item of a response. */
export type ResponseItem =
  | { readonly text: string }
  | { readonly refusal: string }
  | { readonly id: string; readonly name: string; readonly input: unknown };

export interface ResponseFacts {
  readonly id?: string;
  readonly status?: 'completed' | 'incomplete' | 'failed';
  readonly incompleteReason?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly model?: string;
  /** Each text in one piece. @default in two */
  readonly whole?: boolean;
}

interface WireEvent {
  readonly type: string;
  readonly [member: string]: unknown;
}

/** One frame. */
export function frame(event: WireEvent, end = '\n'): string {
  return `event: ${event.type}${end}data: ${JSON.stringify(event)}${end}${end}`;
}

/** Every event of a response, texts and arguments in two pieces each. */
export function responseEvents(items: readonly ResponseItem[], facts: ResponseFacts = {}): WireEvent[] {
  const { id = 'resp_1', status = 'completed', inputTokens = 10, outputTokens = 5, model = 'gpt-test' } = facts;
  const output = items.map((item, index) => wireItem(item, index));
  const usage = {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
  const start = { id, object: 'response', model, status: 'in_progress', output: [] };
  const whole = {
    ...start,
    status,
    output,
    usage,
    error: facts.error ?? null,
    incomplete_details: facts.incompleteReason === undefined ? null : { reason: facts.incompleteReason },
  };
  const events: WireEvent[] = [
    { type: 'response.created', response: start },
    { type: 'response.in_progress', response: start },
    ...items.flatMap((item, index) => itemEvents(item, index, facts.whole)),
    { type: `response.${status}`, response: whole },
  ];
  return events.map((event, sequence_number) => ({ ...event, sequence_number }));
}

/** A whole response as the bytes of an event stream, with comments between the frames. */
export function responseStream(items: readonly ResponseItem[], facts: ResponseFacts = {}, end = '\n'): string {
  return responseEvents(items, facts)
    .map((event) => `: a comment${end}${end}${frame(event, end)}`)
    .join('');
}

function wireItem(item: ResponseItem, index: number) {
  if ('name' in item) {
    const call = { call_id: item.id, name: item.name, arguments: JSON.stringify(item.input) };
    return { type: 'function_call', id: `fc_${index}`, status: 'completed', ...call };
  }
  const content =
    'text' in item
      ? { type: 'output_text', text: item.text, annotations: [] }
      : { type: 'refusal', refusal: item.refusal };
  return { type: 'message', id: `msg_${index}`, role: 'assistant', status: 'completed', content: [content] };
}

function itemEvents(item: ResponseItem, index: number, isWhole = false): WireEvent[] {
  const whole = wireItem(item, index);
  const place = { output_index: index, item_id: whole.id, content_index: 0 };
  const [text, kind] =
    'name' in item
      ? [JSON.stringify(item.input), 'function_call_arguments']
      : 'text' in item
        ? [item.text, 'output_text']
        : [item.refusal, 'refusal'];
  const half = Math.ceil(text.length / 2);
  const started = 'name' in item ? { ...whole, arguments: '', status: 'in_progress' } : { ...whole, content: [] };
  return [
    { type: 'response.output_item.added', output_index: index, item: started },
    ...(isWhole ? [text] : [text.slice(0, half), text.slice(half)]).map((delta) => ({
      type: `response.${kind}.delta`,
      ...place,
      delta,
    })),
    { type: `response.${kind}.done`, ...place, ...('name' in item ? { arguments: text } : { text }) },
    { type: 'response.output_item.done', output_index: index, item: whole },
  ];
}
