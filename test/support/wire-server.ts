/** A local HTTP server that answers as its script says: what a vendor's client meets when the vendor behaves, or does not. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it arrived. */
export interface WireRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** JSON where it is JSON, else text. */
  readonly body: unknown;
}

/** The answer to one request, piece by piece. */
export class WireReply {
  /** Resolves when the connection is gone before the answer was whole: the client has hung up. */
  readonly hungUp: Promise<void>;
  /** Resolves when nothing is left of the exchange. */
  readonly closed: Promise<void>;
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.closed = new Promise((resolve) => response.once('close', resolve));
    this.hungUp = new Promise((resolve) => {
      response.once('close', () => response.writableEnded || resolve());
    });
  }

  /** The status line and headers, at once. */
  head(status: number, headers: Readonly<Record<string, string>> = {}): this {
    this.#response.writeHead(status, headers).flushHeaders();
    return this;
  }

  write(bytes: string | Uint8Array): this {
    this.#response.write(bytes);
    return this;
  }

  end(bytes?: string | Uint8Array): void {
    this.#response.end(bytes);
  }

  json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
    this.#response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  }

  /** A whole event stream. */
  events(text: string): void {
    this.head(200, { 'content-type': 'text/event-stream' }).end(text);
  }

  /** Cuts the connection in the middle of the answer. */
  drop(): void {
    this.#response.socket?.destroy();
  }
}

/** Answers one request; what it throws is a 500. */
export type WireScript = (request: WireRequest, reply: WireReply) => unknown;

/** A server on a free local port. `await using` closes it. */
export class WireServer implements AsyncDisposable {
  readonly requests: WireRequest[] = [];
  readonly #server: Server;

  constructor(script: WireScript) {
    this.#server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', async () => {
        const { method = '', url = '', headers } = incoming;
        const request = { method, url, headers, body: parsed(Buffer.concat(chunks).toString('utf8')) };
        this.requests.push(request);
        const reply = new WireReply(response);
        try {
          await script(request, reply);
        } catch (error) {
          reply.json(500, { error: String(error) });
        }
      });
    });
  }

  static async start(script: WireScript): Promise<WireServer> {
    const server = new WireServer(script);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

/** A `fetch` whose bodies arrive one byte at a time, whatever the network made of them. */
export const bytewiseFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  if (response.body === null) return response;
  const split = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      for (let at = 0; at < chunk.length; at++) controller.enqueue(chunk.subarray(at, at + 1));
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(split), { status, statusText, headers });
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
