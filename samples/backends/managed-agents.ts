/** Claude Managed Agents on this machine, as far as the sample goes: agents, sessions, and a stream of their events. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Event = { readonly id: string; readonly type: string } & Readonly<Record<string, unknown>>;
type Told = Omit<Event, 'id'> & { readonly type: string };

/** Starts the server; the SDK is pointed at it by its base URL. */
export async function startManagedAgents() {
  const shelves: Readonly<Record<string, object[]>> = { agents: [], environments: [] };
  const session = new Session();
  const server = createServer(async (request, response) => {
    const [, , room = '', , , stream] = new URL(request.url ?? '', 'http://local').pathname.split('/');
    const body = request.method === 'POST' ? await bodyOf(request) : undefined;
    const shelf = shelves[room];
    if (stream !== undefined) session.stream(response);
    else if (shelf !== undefined) answer(response, body === undefined ? page(shelf) : made(shelf, room, body));
    else if (body === undefined) answer(response, page(session.events));
    else if (Array.isArray(body.events)) {
      answer(response, { data: [] });
      session.take(body.events);
    } else answer(response, { id: 'sesn_1', type: 'session' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

/** A session whose model knows two sentences. What it has told can be read again. */
class Session {
  readonly events: Event[] = [];
  readonly #streams = new Set<ServerResponse>();

  stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    this.#streams.add(response);
    response.once('close', () => this.#streams.delete(response));
  }

  take(events: readonly Told[]): void {
    for (const event of events) this.#tell(event);
    const { type, content }: Partial<Told> = events[0] ?? {};
    const [{ text = '' } = {}] = (content ?? []) as { text?: string }[];
    if (type === 'user.message') this.#call(text.includes('reorder') ? 'reorder' : 'count');
    else this.#say(text === 'ordered' ? 'Ten more teapots are ordered.' : `There are ${JSON.parse(text).left} left.`);
  }

  #call(name: string): void {
    const { id } = this.#tell({ type: 'agent.custom_tool_use', name, input: { item: 'teapots' } });
    this.#end({ type: 'requires_action', event_ids: [id] });
  }

  #say(text: string): void {
    this.#tell({ type: 'agent.message', content: [{ type: 'text', text }] });
    this.#end({ type: 'end_turn' });
  }

  #end(stop_reason: object): void {
    this.#tell({ type: 'span.model_request_end', model_usage: { input_tokens: 12, output_tokens: 8 } });
    this.#tell({ type: 'session.status_idle', stop_reason });
  }

  #tell(event: Told): Event {
    const whole = { ...event, id: `sevt_${this.events.length}` };
    this.events.push(whole);
    for (const stream of this.#streams) stream.write(`event: ${whole.type}\ndata: ${JSON.stringify(whole)}\n\n`);
    return whole;
  }
}

function made(shelf: object[], room: string, body: object): object {
  const thing = { ...body, id: `${room}_${shelf.length}`, archived_at: null };
  shelf.push(thing);
  return thing;
}

function page(data: readonly object[]): object {
  return { data, next_page: null };
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}
