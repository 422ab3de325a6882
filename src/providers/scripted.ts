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
  ToolResult,
  ToolUse,
} from './provider.js';
import type {
  ScriptedEvent,
  ScriptedInput,
  ScriptedProviderOptions,
  ScriptedProviderTurn,
  ScriptedStep,
  ScriptedTurnInfo,
} from './scripted/scenario.js';
import { ScriptedServer } from './scripted/server.js';

export type {
  ScriptedEvent,
  ScriptedInput,
  ScriptedProviderOptions,
  ScriptedProviderTurn,
  ScriptedStep,
  ScriptedTurnInfo,
};

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
    resumeInput: (_: readonly ToolUse[], results: readonly ToolResult[]): ScriptedInput => ({
      type: 'results',
      results,
    }),
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
  const streaming = {
    mode: 'streaming' as const,
    connect: async ({ id }: ScriptedProviderSession) => server.connect(id),
    send: async ({ id }: ScriptedProviderSession, input: ScriptedInput) => server.send(id, input),
    arrived,
  };
  const requestResponse = {
    mode: 'request_response' as const,
    request: ({ id }: ScriptedProviderSession, input: ScriptedInput) => server.request(id, input),
  };
  const way = mode === 'streaming' ? streaming : requestResponse;
  // Not a spread, which would read the counters once and for all.
  const members = { ...Object.getOwnPropertyDescriptors(way), ...Object.getOwnPropertyDescriptors(common) };
  return Object.defineProperties({} as ScriptedProvider, members);
}

function arrived(input: ScriptedInput, events: readonly ScriptedEvent[]): boolean {
  return events.some(({ eventId: _, ...event }) => JSON.stringify(event) === JSON.stringify(input));
}

function peek(event: ScriptedEvent): EventPeek {
  const { eventId: id } = event;
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

/** An interrupt takes back what was called before it. */
function pending(events: readonly ScriptedEvent[]): readonly ToolUse[] {
  const waiting = new Map<string, ToolUse>();
  for (const event of events) {
    if (event.type === 'tool') for (const use of usesOf([event], 'tool')) waiting.set(use.id, use);
    if (event.type === 'results') for (const { toolUseId } of event.results) waiting.delete(toolUseId);
    if (event.type === 'stop' && event.terminal !== 'requires_action') waiting.clear();
  }
  return [...waiting.values()];
}

function usesOf(events: readonly ScriptedEvent[], type: 'tool' | 'server_tool'): ToolUse[] {
  return events.flatMap((event) =>
    event.type === type ? [{ id: event.id, name: event.name, input: event.input }] : [],
  );
}

function added(first: Usage, second: Usage): Usage {
  const names = Object.keys({ ...first, ...second }) as (keyof Usage)[];
  return Object.fromEntries(names.map((name) => [name, (first[name] ?? 0) + (second[name] ?? 0)]));
}

function transcript(events: readonly ScriptedEvent[]): Message[] {
  return events.flatMap((event): Message[] => {
    if (event.type === 'text') return [{ role: 'model', content: [{ text: event.text }] }];
    if (event.type !== 'user') return [];
    return [{ role: 'user', content: typeof event.prompt === 'string' ? [{ text: event.prompt }] : event.prompt }];
  });
}
