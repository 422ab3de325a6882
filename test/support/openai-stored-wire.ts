/** OpenAI's Responses API as it keeps conversations itself: a request names the response it goes on from. */
import type { Wire } from './http-model.js';
import { openaiWire } from './http-model.js';
import { type ResponseItem, responseEvents, frame as responseFrame } from './openai-wire.js';

type Item = Readonly<Record<string, unknown>>;

interface Body {
  readonly input: readonly Item[];
  readonly previous_response_id?: string;
  readonly store?: boolean;
}

/** A wire with a memory of its own; `model` makes a new one. */
export function storedOpenaiWire(): Wire {
  /** What had been said by the end of each response. */
  const kept = new Map<string, readonly Item[]>();
  let asked: readonly Item[] = [];
  const frames = (items: readonly ResponseItem[], facts: object) => {
    const id = `resp_${kept.size + 1}`;
    kept.set(id, asked);
    return responseEvents(items, { id, whole: true, ...facts }).map((event) => responseFrame(event));
  };
  return {
    ...openaiWire,
    refusal(body) {
      const { previous_response_id: previous, store } = body as Body;
      if (store !== true) return { status: 400, body: { error: { message: 'nothing is to be kept' } } };
      if (previous === undefined || kept.has(previous)) return undefined;
      const error = { message: 'not found', code: 'previous_response_not_found', param: 'previous_response_id' };
      return { status: 400, body: { error } };
    },
    // Every request that is taken is looked at by this first.
    isToolAnswer(body) {
      const { previous_response_id: previous, input } = body as Body;
      asked = [...(kept.get(previous ?? '') ?? []), ...input];
      return openaiWire.isToolAnswer(body);
    },
    asked: (body) => openaiWire.asked({ ...(body as Body), input: asked }),
    answer({ text = [], usage }) {
      const events = frames(
        text.map((piece) => ({ text: piece })),
        { inputTokens: usage?.inputTokens ?? 1, outputTokens: usage?.outputTokens ?? 1 },
      );
      return { begun: events.slice(0, -1).join(''), last: events.at(-1) ?? '' };
    },
    call: ({ name, input }) => frames([{ id: 'call_1', name, input }], { inputTokens: 0, outputTokens: 0 }).join(''),
  };
}
