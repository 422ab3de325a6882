/** Server-sent events as JSON. Source: ReqManagedAgents' decoder, and the WHATWG's event stream format. */

/** Decodes an event stream piece by piece; pieces may be split anywhere. What is not kept: comments, names, ids. */
export class JsonEventDecoder {
  readonly #decoder = new TextDecoder();
  readonly #maxLength: number;
  #rest = '';
  #data: string[] = [];
  #length = 0;
  #endsWithReturn = false;

  /** @param maxLength longer events are dropped, in UTF-16 units */
  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  /** The objects that are whole now. Data that is no JSON object is dropped, and what follows is read. */
  push(chunk: Uint8Array): Record<string, unknown>[] {
    let text = this.#decoder.decode(chunk, { stream: true });
    if (text === '') return [];
    // A CR that ended the last piece has ended its line already; an LF now is the rest of that line end.
    if (this.#endsWithReturn && text.startsWith('\n')) text = text.slice(1);
    if (text === '') this.#endsWithReturn = false;
    else this.#endsWithReturn = text.endsWith('\r');
    const [first = '', ...others] = text.split(/\r\n|\r|\n/);
    this.#grow(first);
    const events: Record<string, unknown>[] = [];
    for (const piece of others) {
      const event = this.#line(this.#rest);
      if (event !== undefined) events.push(event);
      this.#rest = '';
      this.#grow(piece);
    }
    return events;
  }

  /** A line longer than an event may be is cut: its event is dropped for its length, or for being no JSON. */
  #grow(piece: string): void {
    if (this.#rest.length <= this.#maxLength) this.#rest += piece;
  }

  #line(line: string): Record<string, unknown> | undefined {
    if (line === '') return this.#event();
    const [, value] = /^data(?::(?: ?)(.*))?$/s.exec(line) ?? [];
    if (value === undefined) return undefined;
    // With its line end: lines of nothing are something.
    this.#length += value.length + 1;
    if (this.#length <= this.#maxLength) this.#data.push(value);
    return undefined;
  }

  #event(): Record<string, unknown> | undefined {
    const text = this.#data.join('\n');
    const isTooLong = this.#length > this.#maxLength;
    this.#data = [];
    this.#length = 0;
    if (text === '' || isTooLong) return undefined;
    try {
      const value: unknown = JSON.parse(text);
      const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
      return isObject ? (value as Record<string, unknown>) : undefined;
    } catch {
      return undefined;
    }
  }
}
