/** A provider that plays a scenario, in either mode: for tests of the loop, and of what stands on it, without a vendor. */
import { v4 as uuid } from 'uuid';
import type {
  EventPeek,
  Message,
  OpenOptions,
  Outcome,
  Prompt,
  Provider,
  ProviderTurn,
  ToolDecision,
  ToolResult,
  ToolUse,
} from './provider.js';
import type {
  ScriptedEvent,
  ScriptedInput,
  ScriptedProviderOptions,
  ScriptedProviderStep,
  ScriptedProviderTurn,
  ScriptedTurnInfo,
} from './scripted/scenario.js';
import { ScriptedServer } from './scripted/server.js';
import { addUsage } from './usage.js';

export type {
  ScriptedEvent,
  ScriptedInput,
  ScriptedProviderOptions,
  ScriptedProviderStep,
  ScriptedProviderTurn,
  ScriptedTurnInfo,
};

/** A session of a {@link ScriptedProvider}. */
export interface ScriptedProviderSession {
  readonly id: string;
  /** What it was opened with. */
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
  const { mode, name = 'scripted', hasHistory = true, hasOutcomes = false, openError } = options;
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
    ...(hasOutcomes ? { outcomeInput: (outcome: Outcome): ScriptedInput => ({ type: 'outcome', outcome }) } : {}),
    resumeInput(
      _: readonly ToolUse[],
      results: readonly ToolResult[],
      decisions: readonly ToolDecision[] = [],
    ): ScriptedInput {
      return { type: 'results', results, ...(decisions.length === 0 ? {} : { decisions }) };
    },
    peek,
    normalize,
    ...(hasHistory ? { history: async ({ id }: ScriptedProviderSession) => server.log(id), pending, unconfirmed } : {}),
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
  if (event.type === 'aside') return { id, isAside: true };
  return event.type === 'stop' ? { id, ends: true } : { id };
}

function normalize(events: readonly ScriptedEvent[]): ProviderTurn {
  const end = events.find((event) => event.type === 'stop');
  const asking = usesOf(events.filter(asks), 'server_tool');
  const grade = events.filter((event) => event.type === 'grade').at(-1);
  const counts = events.map((event) => (event.type === 'usage' ? event.usage : undefined));
  return {
    terminal: end?.terminal ?? 'terminated',
    stopReason: end?.reason ?? end?.terminal ?? 'no_stop',
    text: events.map((event) => (event.type === 'text' ? event.text : '')).join(''),
    toolUses: usesOf(events, 'tool'),
    serverToolUses: usesOf(events, 'server_tool'),
    ...(asking.length === 0 ? {} : { confirmations: asking }),
    ...(grade === undefined ? {} : { outcome: grade.grade }),
    usage: counts.reduce(addUsage, undefined),
  };
}

function pending(events: readonly ScriptedEvent[]): readonly ToolUse[] {
  return waiting(events, ({ type }) => type === 'tool');
}

function unconfirmed(events: readonly ScriptedEvent[]): readonly ToolUse[] {
  return waiting(events, asks);
}

/** An interrupt takes back what was called before it. */
function waiting(events: readonly ScriptedEvent[], isIt: (event: ScriptedEvent) => boolean): readonly ToolUse[] {
  const calls = new Map<string, ToolUse>();
  for (const event of events) {
    if ((event.type === 'tool' || event.type === 'server_tool') && isIt(event))
      for (const use of usesOf([event], event.type)) calls.set(use.id, use);
    if (event.type === 'results')
      for (const { toolUseId } of [...event.results, ...(event.decisions ?? [])]) calls.delete(toolUseId);
    if (event.type === 'stop' && event.terminal !== 'requires_action') calls.clear();
  }
  return [...calls.values()];
}

function asks(event: ScriptedEvent): boolean {
  return event.type === 'server_tool' && event.asks === true;
}

function usesOf(events: readonly ScriptedEvent[], type: 'tool' | 'server_tool'): ToolUse[] {
  return events.flatMap((event) =>
    event.type === type ? [{ id: event.id, name: event.name, input: event.input }] : [],
  );
}

function transcript(events: readonly ScriptedEvent[]): Message[] {
  return events.flatMap((event): Message[] => {
    if (event.type === 'text') return [{ role: 'model', content: [{ text: event.text }] }];
    if (event.type !== 'user') return [];
    return [{ role: 'user', content: typeof event.prompt === 'string' ? [{ text: event.prompt }] : event.prompt }];
  });
}
