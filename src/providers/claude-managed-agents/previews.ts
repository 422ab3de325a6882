/** Messages that are told piece by piece before they are there as a whole: each word is said once. */
import type { EventPeek } from '../provider.js';
import { members, type RawEvent } from '../raw-event.js';
import { peekManagedAgent } from './events.js';

/** Messages that were begun and never came, because their model request ended early, are forgotten in time. */
const maxMessages = 1_000;

interface Preview {
  readonly text: string;
  /** The content block that the last piece belonged to. */
  readonly index: unknown;
}

/** What was told of messages so far. */
export class Previews {
  /** By the id of the message. */
  readonly #told = new Map<unknown, Preview>();
  /** What a piece, or the rest of a message, says. */
  readonly #texts = new WeakMap<RawEvent, string>();

  /** Notes an event that arrives on a stream, once. */
  note(event: RawEvent): void {
    if (event.type === 'event_delta') this.#notePiece(event);
    if (event.type !== 'agent.message' || !this.#told.has(event.id)) return;
    this.#texts.set(event, this.#restOf(event));
    this.#told.delete(event.id);
  }

  /** What one event says that was not said yet. */
  peek(event: RawEvent): EventPeek {
    const { text: whole, ...peek } = peekManagedAgent(event);
    const text = this.#texts.get(event) ?? (this.#told.has(event.id) ? this.#restOf(event) : whole);
    return text === undefined || text === '' ? peek : { ...peek, text };
  }

  #notePiece(event: RawEvent): void {
    const { event_id: id } = event;
    const { content, index } = members(event.delta);
    const { type, text } = members(content);
    if (type !== 'text' || typeof text !== 'string') return;
    const before = this.#told.get(id);
    const piece = before === undefined || before.index === index ? text : `\n${text}`;
    this.#told.set(id, { text: `${before?.text ?? ''}${piece}`, index });
    this.#texts.set(event, piece);
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= maxMessages) break;
      this.#told.delete(oldest);
    }
  }

  /** Pieces are sent as well as can be: where some are missing, the rest cannot be told from what was said. */
  #restOf(message: RawEvent): string {
    const { text: told = '' } = this.#told.get(message.id) ?? {};
    const { text: whole = '' } = peekManagedAgent(message);
    return whole.startsWith(told) ? whole.slice(told.length) : '';
  }
}
