/** The user's side of the talk: one session at a time, asked one question at a time. */
import { randomUUID } from 'node:crypto';
import type { AgentTypes, Connection } from 'genkitx-agent';
import type { Chat } from './agent.js';

type Input = AgentTypes<Chat>['input'];
type Chunk = AgentTypes<Chat>['stream'];

export interface ConversationOptions {
  /** The session to begin with; a new one by default. */
  readonly sessionId?: string | undefined;
  /** Told when a question waits for the session: another program has it open, or it could not be given back. */
  readonly onWaiting?: () => void;
}

/** How long a question waits before somebody should be told. */
const patienceMs = 1_000;
/** How long an answer that is cut short may take to notice. */
const graceMs = 1_000;

export class Conversation {
  readonly #chat: Chat;
  readonly #onWaiting: () => void;
  /** Every session of this conversation, the current one last. */
  readonly #sessionIds = new Set<string>();
  #sessionId = '';
  #connection: Connection<Input, Chunk, unknown> | undefined;
  #isAnswering = false;
  #wasInterrupted = false;
  #grace: NodeJS.Timeout | undefined;

  constructor(chat: Chat, { sessionId, onWaiting = () => {} }: ConversationOptions = {}) {
    this.#chat = chat;
    this.#onWaiting = onWaiting;
    this.#enter(sessionId ?? randomUUID());
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  /** The session as it is stored; `undefined` before the first question. */
  saved(sessionId = this.#sessionId) {
    return this.#chat.sessions.get(sessionId);
  }

  /** The newest answer was cut short. */
  get wasInterrupted(): boolean {
    return this.#wasInterrupted;
  }

  /** The answer, piece by piece as it comes. One that is interrupted just ends. */
  async *ask(question: string): AsyncGenerator<string> {
    this.#connection ??= this.#chat.streamBidi({ sessionId: this.#sessionId });
    const connection = this.#connection;
    const patience = setTimeout(this.#onWaiting, patienceMs);
    const taken = connection.send(question);
    taken.catch(() => {}).finally(() => clearTimeout(patience));
    this.#isAnswering = true;
    this.#wasInterrupted = false;
    try {
      yield* connection.receive();
    } catch (error) {
      // Whatever it was, the session is still there: the next question opens a new connection to it.
      await this.close();
      if (!this.#wasInterrupted) throw error;
    } finally {
      this.#isAnswering = false;
      clearTimeout(this.#grace);
    }
  }

  /** Cuts the answer short, keeping what was said. False: there is none, or it is being cut short already. */
  interrupt(): boolean {
    if (!this.#isAnswering) return false;
    this.#isAnswering = false;
    this.#wasInterrupted = true;
    void this.#cutShort(this.#connection);
    return true;
  }

  /** Ends whatever goes on, now. */
  abort(): void {
    this.#connection?.abort('by the user');
  }

  /** Goes on in a copy of the session; the original stays as it is. */
  async fork(): Promise<void> {
    await this.#leave(await this.#chat.sessions.fork(this.#sessionId));
  }

  /** Goes on in a new session. */
  async begin(): Promise<void> {
    await this.#leave(randomUUID());
  }

  /** The sessions something was said in, the newest last. */
  async visited(): Promise<string[]> {
    const sessions = await Promise.all([...this.#sessionIds].map((id) => this.saved(id)));
    return sessions.flatMap((session) => session?.id ?? []);
  }

  /** Gives the session back. */
  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.[Symbol.asyncDispose]();
  }

  async #cutShort(connection: Connection<Input, Chunk, unknown> | undefined): Promise<void> {
    const abort = () => connection?.abort('by the user');
    // A model that heeds no signal is left alone; a question that still waits for the session is taken back.
    this.#grace = setTimeout(abort, graceMs);
    if (!(await connection?.interrupt('by the user'))) abort();
  }

  async #leave(next: string): Promise<void> {
    await this.close();
    this.#enter(next);
  }

  #enter(sessionId: string): void {
    this.#sessionId = sessionId;
    this.#sessionIds.add(sessionId);
  }
}
