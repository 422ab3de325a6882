/** A host with a scripted backend, a clock that stands still, and a list of all it has told. */
import { type ScriptedTurn, scriptedBackend } from '../../src/backends/scripted.js';
import {
  type AgentHostOptions,
  type Behaviour,
  createAgentHost,
  defineBehaviour,
  type HostEvent,
  noreply,
  type StartOptions,
} from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { ManualClock } from '../../src/testing/manual-clock.js';

/** Everything that can happen without time has happened. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** The value, when something else has been done. */
export function having<Value>(_done: unknown, value: Value): Value {
  return value;
}

/** What a behaviour that only listens remembers. */
export interface Log {
  readonly log: readonly string[];
}

/** Adds a line to the log. */
export function logged(state: Log, line: string): Log {
  return { log: [...state.log, line] };
}

/** A behaviour that writes down what it is told, with callbacks of the test's own. */
export function listener(own: Partial<Behaviour<Log, unknown, unknown>> = {}): Behaviour<Log, unknown, unknown> {
  return defineBehaviour<Log, unknown, unknown>({
    name: 'listener',
    init: () => ({ state: { log: [] } }),
    handleResponse: (_ref, { text }, state) => noreply(logged(state, `response ${text}`)),
    handleError: (_ref, { code }, state) => noreply(logged(state, `error ${code}`)),
    handleEvent: (event, state) => noreply(logged(state, `event ${String(event)}`)),
    ...own,
  });
}

/** A turn that ends when it is let go. */
export class Gate {
  readonly #deferred = new Deferred<void>();
  readonly #text: string;

  constructor(text = 'gated') {
    this.#text = text;
  }

  get turn(): ScriptedTurn {
    return [this.#deferred.promise, { type: 'text', text: this.#text }, { type: 'result' }];
  }

  /** Resolves when it is let go. */
  get isOpen(): Promise<void> {
    return this.#deferred.promise;
  }

  open(): void {
    this.#deferred.resolve();
  }
}

/** A host under test. */
export function harness(options: AgentHostOptions = {}) {
  const clock = new ManualClock(1_000_000);
  const events: HostEvent[] = [];
  const host = createAgentHost({ clock, onEvent: (event) => void events.push(event), ...options });
  const backend = scriptedBackend();
  const start = (
    own: Partial<Behaviour<Log, unknown, unknown>> = {},
    more: Partial<StartOptions> = {},
    ...turns: ScriptedTurn[]
  ) => {
    backend.script(...turns);
    return host.start(listener(own), { name: 'a', backend, ...more });
  };
  const log = async (name = 'a') => ((await host.status(name)).agentState as Log).log;
  const types = () => events.map(({ type }) => type);
  const told = <Type extends HostEvent['type']>(type: Type) =>
    events.filter((event): event is Extract<HostEvent, { type: Type }> => event.type === type);
  return { clock, events, host, backend, start, log, types, told };
}
