/** A provider that plays a scenario, in either mode: for tests of the loop, and of what stands on it, without a vendor. */
import { v4 as uuid } from 'uuid';
import type { Usage } from '../../schemas/index.js';
import type {
  EventPeek,
  Message,
  OpenOptions,
  Prompt,
  Provider,
  ProviderTurn,
  Terminal,
  ToolResult,
  ToolUse,
} from './provider.js';
import { ScriptedServer } from './scripted/server.js';

/** What happens in a turn, step by step. */
export type ScriptedStep =
  | { readonly type: 'text'; readonly text: string }
  /** A call that is handed back. */
  | { readonly type: 'tool'; readonly id: string; readonly name: string; readonly input?: unknown }
  /** A call the provider runs itself. */
  | { readonly type: 'server_tool'; readonly id: string; readonly name: string; readonly input?: unknown }
  | { readonly type: 'usage'; readonly usage: Usage }
  /** Ends the turn. By default a turn ends by itself: `requires_action` when it has called a tool, else `end_turn`. */
  | { readonly type: 'stop'; readonly terminal: Terminal; readonly reason?: string }
  /** The connection is lost here, as a clean end or with an error. The provider itself goes on. */
  | { readonly type: 'drop'; readonly how: 'end' | 'error' }
  /** The provider goes on when the promise resolves. */
  | { readonly type: 'wait'; readonly until: PromiseLike<unknown> };

/** One turn: its steps, or a function of the input it answers. */
export type ScriptedProviderTurn =
  | readonly ScriptedStep[]
  | ((input: ScriptedInput) => readonly ScriptedStep[]);

/** What a scripted provider is sent. */
export type ScriptedInput =
  | { readonly type: 'user'; readonly prompt: Prompt }
  | { readonly type: 'results'; readonly results: readonly ToolResult[] };

/** An event as a scripted provider tells it: a step with an id, or an input it was sent. */
export type ScriptedEvent = { readonly id: string } & (
  | Exclude<ScriptedStep, { readonly type: 'drop' | 'wait' }>
  | ScriptedInput
);

/** Options of {@link scriptedProvider}. */
export interface ScriptedProviderOptions {
  readonly mode: 'streaming' | 'request_response';
  /** One for each input, in order, whatever the session; when they are used up a turn ends at once. */
  readonly turns?: readonly ScriptedProviderTurn[];
  /** @default 'scripted' */
  readonly name?: string;
  /** False for a provider that cannot say what it has told already. @default true */
  readonly hasHistory?: boolean;
  /**
   * What becomes of each sending, in order, beyond the last one it is `ok`: `lost` arrives although the sender sees an
   * error, `refused` does not arrive. In streaming mode only.
   */
  readonly sends?: readonly ('ok' | 'lost' | 'refused')[];
  /** Thrown by each connecting, in order; `undefined` connects. In streaming mode only. */
  readonly connects?: readonly unknown[];
  /** Thrown by `open`. */
  readonly openError?: unknown;
}

/** A session of a {@link ScriptedProvider}. */
export interface ScriptedProviderSession {
  readonly id: string;
  readonly options: OpenOptions;
}

/** A provider that plays a scenario, and remembers what it was sent. It outlives whoever talks to it, as a server does. */
export type ScriptedProvider = Provider<ScriptedProviderSession, ScriptedEvent, ScriptedInput> & {
  /** Adds turns to the scenario. */
  script(...turns: readonly ScriptedProviderTurn[]): void;
  /** Every input that arrived, oldest first. */
  readonly inputs: readonly ScriptedInput[];
  /** Every session that was opened or taken up, oldest first. */
  readonly opened: readonly ScriptedProviderSession[];
  /** How often it was interrupted. */
  readonly interrupts: number;
  /** How often a stream was connected. */
  readonly connections: number;
  /** Turns of the scenario that are left. */
  readonly remaining: number;
  /** Turns that have begun and not ended. */
  readonly active: number;
};

/**
 * A provider that plays a scenario. The same scenario gives equal results in both modes.
 *
 * @example
 * scriptedProvider({
 *   mode: 'streaming',
 *   turns: [[{ type: 'tool', id: 'c1', name: 'look_up', input: { word: 'tea' } }], [{ type: 'text', text: 'A drink.' }]],
 * });
 */
export function scriptedProvider(options: ScriptedProviderOptions): ScriptedProvider {
  const { mode, name = 'scripted', hasHistory = true, openError } = options;
  const server = new ScriptedServer(options);
  const opened: ScriptedProviderSession[] = [];
  let interrupts = 0;
  const common = {
    name,
    async open(given: OpenOptions): Promise<ScriptedProviderSession> {
      if (openError !== undefined) throw openError;
      const session = { id: given.sessionId ?? `scripted-${uuid()}`, options: given };
      opened.push(session);
      return session;
    },
    sessionId: ({ id }: ScriptedProviderSession) => id,
    userInput: (prompt: Prompt): ScriptedInput => ({ type: 'user', prompt }),
    resumeInput: (_: readonly ToolUse[], results: readonly ToolResult[]): ScriptedInput => ({ type: 'results', results }),
    peek,
    normalize,
    ...(hasHistory ? { history: async ({ id }: ScriptedProviderSession) => server.log(id), pending } : {}),
    async interrupt({ id }: ScriptedProviderSession) {
      interrupts += 1;
      server.interrupt(id);
    },
    transcript: ({ id }: ScriptedProviderSession) => transcript(server.log(id)),
    script: (...turns: readonly ScriptedProviderTurn[]) => server.script(turns),
    inputs: server.inputs,
    opened,
    get interrupts() {
      return interrupts;
    },
    get connections() {
      return server.connections;
    },
    get remaining() {
      return server.remaining;
    },
    get active() {
      return server.active;
    },
  };
  const ways =
    mode === 'streaming'
      ? {
          mode,
          connect: async ({ id }: ScriptedProviderSession) => server.connect(id),
          send: async ({ id }: ScriptedProviderSession, input: ScriptedInput) => server.send(id, input),
          arrived: (input: ScriptedInput, events: readonly ScriptedEvent[]) =>
            events.some((event) => event.type === input.type && JSON.stringify(event).includes(JSON.stringify(input).slice(1, -1))),
        }
      : { mode, request: ({ id }: ScriptedProviderSession, input: ScriptedInput) => server.request(id, input) };
  return Object.defineProperties(ways, Object.getOwnPropertyDescriptors(common)) as ScriptedProvider;
}

function peek(event: ScriptedEvent): EventPeek {
  const { id } = event;
  if (event.type === 'text') return { id, text: event.text };
  if (event.type === 'usage') return { id, usage: event.usage };
  return event.type === 'stop' ? { id, ends: true } : { id };
}

function normalize(events: readonly ScriptedEvent[]): ProviderTurn {
  const end = events.find((event) => event.type === 'stop');
  const counts = events.flatMap((event) => (event.type === 'usage' ? [event.usage] : []));
  return {
    terminal: end?.terminal ?? 'terminated',
    stopReason: end?.reason ?? end?.terminal ?? 'no_stop',
    text: events.map((event) => (event.type === 'text' ? event.text : '')).join(''),
    toolUses: usesOf(events, 'tool'),
    serverToolUses: usesOf(events, 'server_tool'),
    usage: counts.length === 0 ? undefined : counts.reduce(added),
  };
}

function pending(events: readonly ScriptedEvent[]): readonly ToolUse[] {
  const answered = new Set(
    events.flatMap((event) => (event.type === 'results' ? event.results.map(({ toolUseId }) => toolUseId) : [])),
  );
  const lastEnd = events.findLast((event) => event.type === 'stop');
  if (lastEnd?.type === 'stop' && lastEnd.terminal === 'terminated') return [];
  return usesOf(events, 'tool').filter(({ id }) => !answered.has(id));
}

function usesOf(events: readonly ScriptedEvent[], type: 'tool' | 'server_tool'): ToolUse[] {
  return events.flatMap((event) =>
    event.type === type ? [{ id: 'callId' in event ? String(event.callId) : event.id, name: event.name, input: event.input }] : [],
  );
}

function added(first: Usage, second: Usage): Usage {
  const sum = (name: keyof Usage) => (first[name] ?? 0) + (second[name] ?? 0);
  return Object.fromEntries(Object.keys({ ...first, ...second }).map((name) => [name, sum(name as keyof Usage)]));
}

function transcript(events: readonly ScriptedEvent[]): Message[] {
  return events.flatMap((event): Message[] => {
    if (event.type === 'user') return [{ role: 'user', content: typeof event.prompt === 'string' ? [{ text: event.prompt }] : event.prompt }];
    return event.type === 'text' ? [{ role: 'model', content: [{ text: event.text }] }] : [];
  });
}
