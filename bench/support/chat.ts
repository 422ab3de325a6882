/** The same conversation for everybody: the user asks, the model answers in one chunk, both messages are remembered. */
import type { MessageData } from 'genkit';
import { type SessionStore as GenkitSessionStore, genkit, MessageSchema, z } from 'genkit/beta';
import type { Connection } from '../../src/connection/connection.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import type { Session } from '../../src/session/session.js';
import type { SessionStore } from '../../src/session/store.js';

/** What the user says and what the model answers; 67 and 301 characters. */
const question = 'Could you tell me what the weather in Lisbon will be like tomorrow?';
const answer =
  'Tomorrow in Lisbon: sunny in the morning with a light breeze from the north west, some clouds in the afternoon, ' +
  'and about 21 degrees at the warmest hour. The night stays mild, around 14 degrees. No rain is expected before ' +
  'Thursday, so there is no need to pack an umbrella for the walk along the river.';

/** A conversation that is open. */
export interface Chat {
  readonly sessionId: string;
  /** One turn, to its end. */
  say(): Promise<void>;
  close(): Promise<void>;
}

/** Somebody conversations are held with. */
export interface ChatAgent {
  /** Resolves when the handler runs and has its state. */
  open(sessionId?: string): Promise<Chat>;
}

/** How a handler remembers. */
export type Form =
  /** `updateState((state) => { state.messages.push(...) })` */
  | 'recipe'
  /** The same, and `session.state.messages` is looked at in every turn, as for a model's prompt. */
  | 'recipe, history read'
  /** `updateState({ ...state, messages: [...state.messages, ...] })` */
  | 'spread'
  /** `updateState({ messages })`, of a list that the handler keeps for itself and pushes to. */
  | 'own list';

/** State of our agents. */
export const ChatStateSchema = z.object({ messages: z.array(MessageSchema).default([]) });
type ChatState = z.infer<typeof ChatStateSchema>;

/** One message, a new object each time. */
export function message(role: 'user' | 'model'): MessageData {
  return { role, content: [{ text: role === 'user' ? question : answer }] };
}

type Remember = (session: Session<ChatState>, added: MessageData[]) => Promise<void>;

/** Here, and not in the handler: an open connection of another form is to hold nothing of it. */
const ownLists = new WeakMap<object, MessageData[]>();

const remember: Readonly<Record<Form, Remember>> = {
  recipe: (session, added) => session.updateState((state) => void state.messages.push(...added)),
  'recipe, history read'(session, added) {
    if (!Array.isArray(session.state.messages)) throw new Error('No history');
    return remember.recipe(session, added);
  },
  spread: (session, added) =>
    session.updateState({ ...session.state, messages: [...session.state.messages, ...added] }),
  'own list'(session, added) {
    const messages = ownLists.get(session) ?? [...session.state.messages];
    ownLists.set(session, messages);
    messages.push(...added);
    return session.updateState({ messages });
  },
};

/** An agent of ours. */
export function ourAgent(store: SessionStore | undefined, form: Form = 'recipe'): ChatAgent {
  const opened = new Opened();
  const config = {
    name: 'chat',
    inputSchema: MessageSchema,
    streamSchema: z.string(),
    stateSchema: ChatStateSchema,
    ...(store === undefined ? {} : { store }),
  };
  const agent = defineAgent(genkit({}), config, async ({ session, responder, turns }) => {
    opened.tell(session.state.messages.length);
    await turns(async (asked) => {
      await responder.send(answer);
      await remember[form](session, [asked, message('model')]);
    });
    return { output: null };
  });
  return {
    async open(sessionId) {
      const isOpen = opened.next();
      const connection = agent.streamBidi(sessionId === undefined ? {} : { sessionId });
      await isOpen;
      return new OurChat(connection);
    },
  };
}

/** One small object for each, as the open connections of thousands are weighed. */
class OurChat implements Chat {
  readonly #connection: Connection<MessageData, string, unknown>;

  constructor(connection: Connection<MessageData, string, unknown>) {
    this.#connection = connection;
  }

  get sessionId(): string {
    return this.#connection.sessionId;
  }

  async say(): Promise<void> {
    void this.#connection.send(message('user'));
    for await (const chunk of this.#connection.receive()) if (chunk !== answer) throw new Error('Not the answer');
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.#connection.output();
  }
}

/** An agent of Genkit's own beta; it adds the user's message to its session by itself. */
export function genkitAgent(store: GenkitSessionStore | undefined): ChatAgent {
  const opened = new Opened();
  const config = { name: 'chat', ...(store === undefined ? {} : { store }) };
  const agent = genkit({}).defineCustomAgent(config, async (session, { sendChunk }) => {
    opened.tell(session.session.sessionId);
    await session.run(async () => {
      sendChunk({ modelChunk: { content: [{ text: answer }] } });
      session.addMessages([message('model')]);
    });
    return {};
  });
  return {
    async open(sessionId) {
      const isOpen = opened.next();
      const connection = agent.streamBidi(sessionId === undefined ? {} : { sessionId });
      const openedAs = await isOpen;
      return new GenkitChat(String(openedAs), connection);
    },
  };
}

/** What Genkit's agents are held by. */
type GenkitConnection = ReturnType<ReturnType<ReturnType<typeof genkit>['defineCustomAgent']>['streamBidi']>;

class GenkitChat implements Chat {
  readonly sessionId: string;
  readonly #connection: GenkitConnection;

  constructor(sessionId: string, connection: GenkitConnection) {
    this.sessionId = sessionId;
    this.#connection = connection;
  }

  async say(): Promise<void> {
    this.#connection.send({ message: message('user') });
    for (;;) {
      const { value, done } = await this.#connection.stream.next();
      if (done) throw new Error('The agent has ended');
      if (value.turnEnd !== undefined) return;
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.#connection.output;
  }
}

/** Tells those who opened, in order, that a handler runs. */
class Opened {
  readonly #waiting: ((value: unknown) => void)[] = [];

  next(): Promise<unknown> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  tell(value: unknown): void {
    this.#waiting.shift()?.(value);
  }
}
