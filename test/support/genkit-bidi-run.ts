/** A bidi run over the CLI's tools API: `POST streamAction?bidi=true`, with the inputs in requests of their own. */

/** An action that failed, as the CLI tells it. */
export class GenkitCliError extends Error {
  /** Genkit's number: 1 cancelled, 3 invalid argument, 13 internal … */
  readonly code: number | undefined;
  readonly traceId: string | undefined;

  constructor(message: string, code?: number, traceId?: string) {
    super(message);
    this.name = 'GenkitCliError';
    this.code = code;
    this.traceId = traceId;
  }
}

/** A run that takes inputs and gives chunks. */
export interface BidiRun {
  readonly traceId: string;
  /** Sends one input. */
  send(chunk: unknown): Promise<void>;
  /** No more inputs. */
  end(): Promise<void>;
  /** The next chunk; rejects when the run has ended. */
  next(): Promise<unknown>;
  /** The chunks not yet taken. Leaving the loop loses nothing: another loop, or `next`, goes on with the rest. */
  readonly chunks: AsyncIterable<unknown>;
  /** What the action returned; rejects with `GenkitCliError`. May be ignored. */
  readonly result: Promise<unknown>;
}

type Post = (route: string, body: unknown) => Promise<Response>;

export async function openBidiRun(post: Post, key: string, init: unknown): Promise<BidiRun> {
  const response = await post('streamAction?bidi=true', { key, init });
  const traceId = response.headers.get('x-genkit-trace-id');
  // Refused before it began: no trace, and the body holds nothing but the error.
  if (traceId === null) throw runError(((await response.json()) as { error?: unknown }).error);

  const queue = new Queue();
  const result = readLines(response, queue);
  result.catch(() => undefined);
  const input = async (route: string, body: object) => {
    const answer = await post(route, { traceId, ...body });
    if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
  };
  return {
    traceId,
    send: (chunk) => input('sendBidiInput', { chunk }),
    end: () => input('endBidiInput', {}),
    next: async () => {
      const { done, value } = await queue.next();
      if (done) throw new Error('the run has ended: there is no next chunk');
      return value;
    },
    chunks: { [Symbol.asyncIterator]: () => ({ next: () => queue.next() }) },
    result,
  };
}

/** Every chunk is a line that ends with a newline; the outcome comes last and has none. */
async function readLines(response: Response, queue: Queue): Promise<unknown> {
  try {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) {
      const lines = (rest + decoder.decode(bytes as Uint8Array, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) queue.push(JSON.parse(line));
    }
    const outcome = JSON.parse(rest) as { result?: unknown; error?: unknown; telemetry?: unknown };
    if (outcome.telemetry === undefined) throw runError(outcome.error);
    return outcome.result;
  } finally {
    queue.end();
  }
}

/** The error that the CLI put in an answer. */
export function runError(error: unknown): GenkitCliError {
  const { message, code, details } = (error ?? {}) as {
    message?: string;
    code?: number;
    details?: { traceId?: string };
  };
  return new GenkitCliError(message ?? `the action failed: ${JSON.stringify(error)}`, code, details?.traceId);
}

/** Chunks that nobody has taken yet, and takers that no chunk has come for yet. */
class Queue {
  readonly #chunks: unknown[] = [];
  readonly #takers: ((result: IteratorResult<unknown, undefined>) => void)[] = [];
  #ended = false;

  push(value: unknown): void {
    const taker = this.#takers.shift();
    if (taker) taker({ done: false, value });
    else this.#chunks.push(value);
  }

  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#chunks.length > 0) return Promise.resolve({ done: false, value: this.#chunks.shift() });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}
