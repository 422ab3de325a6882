/** A vendor's HTTP API in the hands of the backend suite: it plays the model's turns in the vendor's wire format. */
import type { AskedTurn, ModelTurn } from '../../src/testing/backend-suite.js';
import { messageEvents, frame as messageFrame } from './anthropic-wire.js';
import { responseEvents, frame as responseFrame } from './openai-wire.js';
import { type WireReply, type WireRequest, WireServer } from './wire-server.js';

/** What of a vendor's wire the model needs to know. */
export interface Wire {
  /** The frames of an answer; `last` is held back when the answer does not end. */
  answer(turn: ModelTurn): { readonly begun: string; readonly last: string };
  call(tool: NonNullable<ModelTurn['tool']>): string;
  asked(body: unknown): AskedTurn;
  isToolAnswer(body: unknown): boolean;
  /** What the vendor answers instead, to a request that it does not take. */
  refusal?(body: unknown): { readonly status: number; readonly body: unknown } | undefined;
  failure(status: number): unknown;
}

/** The model behind a local server. `await using` ends it. */
export class HttpModel implements AsyncDisposable {
  readonly asked: AskedTurn[] = [];
  readonly #turns: ModelTurn[] = [];
  /** Turns that wait for a tool's answer. */
  readonly #waiting: ModelTurn[] = [];
  readonly #wire: Wire;
  readonly #newline: string;
  #server: WireServer | undefined;
  #open = 0;

  constructor(wire: Wire, newline = '\n') {
    this.#wire = wire;
    this.#newline = newline;
  }

  static async start(wire: Wire, newline = '\n'): Promise<HttpModel> {
    const model = new HttpModel(wire, newline);
    model.#server = await WireServer.start((request, reply) => model.#serve(request, reply));
    return model;
  }

  get url(): string {
    return this.#server?.url ?? '';
  }

  /** Requests that are open. */
  get working(): number {
    return this.#open;
  }

  play(turn: ModelTurn): void {
    this.#turns.push(turn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }

  #serve({ body }: WireRequest, reply: WireReply): void {
    this.#open += 1;
    void reply.closed.then(() => {
      this.#open -= 1;
    });
    const refusal = this.#wire.refusal?.(body);
    if (refusal !== undefined) {
      reply.json(refusal.status, refusal.body);
      return;
    }
    const isToolAnswer = this.#wire.isToolAnswer(body);
    if (!isToolAnswer) this.asked.push(this.#wire.asked(body));
    // A call that another process has left is answered out of the blue.
    const isExpected = isToolAnswer && this.#waiting.length > 0;
    const turn = (isExpected ? this.#waiting : this.#turns).shift() ?? { text: ['(nothing was to be played)'] };
    const statuses = { rate_limit: 429, authentication: 401, invalid_request: 400, server: 500 };
    const { end = 'done', tool } = turn;
    if (end !== 'done' && end !== 'hang' && end !== 'drop') {
      reply.json(statuses[end], this.#wire.failure(statuses[end]), { 'retry-after': '7' });
      return;
    }
    reply.head(200, { 'content-type': 'text/event-stream' });
    if (tool !== undefined) {
      const { tool: _, ...rest } = turn;
      this.#waiting.push(rest);
      reply.end(this.#lines(this.#wire.call(tool)));
      return;
    }
    const { begun, last } = this.#wire.answer(turn);
    reply.write(this.#lines(begun));
    if (end === 'done') reply.end(this.#lines(last));
    // What was written must have left before the connection is cut.
    if (end === 'drop') setImmediate(() => setImmediate(() => reply.drop()));
  }

  #lines(text: string): string {
    return text.replaceAll('\n', this.#newline);
  }
}

type Body = Readonly<Record<string, unknown>>;

/** Anthropic's Messages API. */
export const anthropicWire: Wire = {
  answer({ text = [], usage }) {
    // An answer in as many blocks as pieces, so that each piece arrives by itself.
    const facts = { inputTokens: usage?.inputTokens ?? 1, outputTokens: usage?.outputTokens ?? 1, whole: true };
    const events = messageEvents(
      text.map((piece) => ({ text: piece })),
      facts,
    ).map((event) => `: ping\n\n${messageFrame(event)}`);
    return { begun: events.slice(0, -2).join(''), last: events.slice(-2).join('') };
  },
  call({ name, input }) {
    return messageEvents([{ text: 'Let me see. ' }, { id: 'toolu_1', name, input }], {
      inputTokens: 0,
      outputTokens: 0,
    })
      .map((event) => messageFrame(event))
      .join('');
  },
  asked(body) {
    const { messages, system } = body as { messages: { role: string; content: Body[] }[]; system?: string };
    const users = messages.filter(({ role, content }) => role === 'user' && content[0]?.type === 'text');
    const prompt =
      users
        .at(-1)
        ?.content.map(({ text }) => text)
        .join('') ?? '';
    return { prompt, earlier: users.length - 1, ...(system === undefined ? {} : { system }) };
  },
  isToolAnswer: (body) => {
    const { messages } = body as { messages: { content: Body[] }[] };
    return messages.at(-1)?.content[0]?.type === 'tool_result';
  },
  failure: (status) => ({ type: 'error', error: { type: 'some_error', message: `refused with ${status}` } }),
};

/** OpenAI's Responses API. */
export const openaiWire: Wire = {
  answer({ text = [], usage }) {
    const facts = { inputTokens: usage?.inputTokens ?? 1, outputTokens: usage?.outputTokens ?? 1, whole: true };
    const events = responseEvents(
      text.map((piece) => ({ text: piece })),
      facts,
    ).map((event) => `: ping\n\n${responseFrame(event)}`);
    return { begun: events.slice(0, -1).join(''), last: events.at(-1) ?? '' };
  },
  call({ name, input }) {
    return responseEvents([{ id: 'call_1', name, input }], { inputTokens: 0, outputTokens: 0 })
      .map((event) => responseFrame(event))
      .join('');
  },
  asked(body) {
    const { input, instructions } = body as { input: (Body & { content?: Body[] })[]; instructions?: string };
    const users = input.filter(({ role }) => role === 'user');
    const prompt =
      users
        .at(-1)
        ?.content?.map(({ text }) => text)
        .join('') ?? '';
    return { prompt, earlier: users.length - 1, ...(instructions === undefined ? {} : { system: instructions }) };
  },
  isToolAnswer: (body) => (body as { input: Body[] }).input.at(-1)?.type === 'function_call_output',
  failure: (status) => ({ error: { message: `refused with ${status}`, type: 'some_error', code: null } }),
};
