/** The two ways to keep a conversation with OpenAI: here, told whole in every request, or there, response by response. */
import { v4 as uuid } from 'uuid';
import { BackendError } from '../backend-error.js';
import { Conversation } from '../conversation.js';
import { failure } from '../failure.js';
import { type OpenAIItem, replayed } from './content.js';

/** Who keeps the conversation. */
export type OpenAIHistory = (typeof histories)[number];

export const histories = ['client', 'server'] as const;

/** What a request says of the conversation. */
export interface ConversationRequest {
  /** The whole conversation, or where OpenAI keeps it what is new. */
  readonly input: readonly OpenAIItem[];
  /** The response this goes on from, where OpenAI keeps the conversation. */
  readonly previous_response_id?: string;
}

/** A conversation with OpenAI's model. A turn is a part of it once it was answered; one that failed leaves nothing. */
export interface OpenAIConversation {
  /** Names the session on this side. */
  readonly id: string;
  /** To take it up by; undefined as long as it cannot be. */
  readonly resumeId: string | undefined;
  /** What the model is told before everything else; `undefined`: nothing. */
  readonly system: string | undefined;
  /** Members of a request that say who keeps it; the caller's own may go over them. */
  readonly keeping: Readonly<Record<string, unknown>>;
  /** For the next request, as the conversation stands now. */
  readonly request: ConversationRequest;
  /** What was answered, as far as this side knows. */
  readonly answered: readonly OpenAIItem[];
  /** A new turn. */
  begin(input: readonly OpenAIItem[]): void;
  /** The turn goes on. */
  add(input: readonly OpenAIItem[]): void;
  /** A response has come, whole. */
  heard(responseId: unknown, output: readonly OpenAIItem[]): void;
  /** The turn was answered. */
  commit(): void;
  /** OpenAI has lost it: answers whether it can be told anew. */
  recover(): boolean;
}

/** How a conversation begins. */
export interface ConversationStart {
  /** Of the session that is taken up. */
  readonly id: string | undefined;
  readonly system: string | undefined;
  /** What was said before. */
  readonly items: readonly OpenAIItem[];
}

/** A conversation that this side keeps: told whole in every request, with the reasoning encrypted. */
export class KeptConversation implements OpenAIConversation {
  readonly id: string;
  readonly system: string | undefined;
  readonly keeping = { store: false, include: ['reasoning.encrypted_content'] };
  readonly #conversation: Conversation<OpenAIItem>;

  constructor({ id = newId(), system, items }: ConversationStart) {
    this.id = id;
    this.system = system;
    this.#conversation = new Conversation(id, system, items, startOfUnanswered(items));
  }

  get resumeId(): string {
    return this.id;
  }

  get request(): ConversationRequest {
    return { input: this.#conversation.items };
  }

  get answered(): readonly OpenAIItem[] {
    return this.#conversation.answered;
  }

  begin(input: readonly OpenAIItem[]): void {
    this.#conversation.begin(...input);
  }

  add(input: readonly OpenAIItem[]): void {
    this.#conversation.add(...input);
  }

  heard(_: unknown, output: readonly OpenAIItem[]): void {
    this.#conversation.add(...output.flatMap(replayed));
  }

  commit(): void {
    this.#conversation.commit();
  }

  recover(): boolean {
    return false;
  }
}

/** Where a stored conversation stands: the newest response, and what has been said since. */
interface Standing {
  readonly response: string | undefined;
  readonly untold: readonly OpenAIItem[];
}

/**
 * A conversation that OpenAI keeps: each request names the response it goes on from, and tells what is new. A turn that
 * failed is left behind by going on from the last response that answered one.
 */
export class StoredConversation implements OpenAIConversation {
  readonly id: string;
  readonly system: string | undefined;
  readonly keeping = { store: true };
  readonly answered = [];
  #answered: Standing;
  #open: Standing;
  /** The whole conversation up to the response it was taken up by, if it was given, for when OpenAI has lost that. */
  #spare: readonly OpenAIItem[] | undefined;

  constructor({ id, system, items }: ConversationStart) {
    this.id = id ?? newId();
    this.system = system;
    // Of a turn that another process has left, OpenAI has seen no more than the response it began with.
    const left = id === undefined ? items.length : startOfUnanswered(items);
    this.#answered = { response: id, untold: id === undefined ? items : [] };
    this.#open = { response: id, untold: id === undefined ? items : items.slice(left) };
    this.#spare = id === undefined || items.length === 0 ? undefined : items.slice(0, left);
  }

  get resumeId(): string | undefined {
    return this.#answered.response;
  }

  get request(): ConversationRequest {
    const { response, untold } = this.#open;
    return { input: untold, ...(response === undefined ? {} : { previous_response_id: response }) };
  }

  begin(input: readonly OpenAIItem[]): void {
    const { response, untold } = this.#answered;
    this.#open = { response, untold: [...untold, ...input] };
  }

  add(input: readonly OpenAIItem[]): void {
    this.#open = { ...this.#open, untold: [...this.#open.untold, ...input] };
  }

  heard(responseId: unknown): void {
    if (typeof responseId !== 'string' || responseId === '')
      throw new BackendError(failure('openai', 'protocol', 'The response has no id to go on from'));
    this.#open = { response: responseId, untold: [] };
  }

  commit(): void {
    this.#answered = this.#open;
    this.#spare = undefined;
  }

  recover(): boolean {
    const isAtStart = this.#open.response === this.#answered.response;
    if (this.#spare === undefined || !isAtStart) return false;
    this.#answered = { response: undefined, untold: this.#spare };
    this.#spare = undefined;
    this.begin(this.#open.untold);
    return true;
  }
}

/** Where the turn begins that ends with calls nobody has answered; the end where there is none. */
function startOfUnanswered(items: readonly OpenAIItem[]): number {
  if (items.at(-1)?.type !== 'function_call') return items.length;
  return Math.max(0, items.map(({ role }) => role).lastIndexOf('user'));
}

function newId(): string {
  return `openai-${uuid()}`;
}
