/** The far side of a scripted provider: it goes on when a connection is lost, and outlives whoever talks to it. */
import type {
  ScriptedEvent,
  ScriptedInput,
  ScriptedProviderOptions,
  ScriptedProviderStep,
  ScriptedProviderTurn,
} from './scenario.js';

type Told<Event> = Event extends { readonly eventId: string } ? Omit<Event, 'eventId'> : never;

/** How a stream was cut off. */
type Cut = { readonly at: number; readonly how: 'end' | 'error' };

interface Stream {
  /** Where in the log it begins: what happened before is not told. */
  readonly from: number;
  cut?: Cut;
  /** True for the answer to one input: it is over when the turn is. */
  readonly isAnswer: boolean;
}

interface Session {
  readonly log: ScriptedEvent[];
  readonly streams: Set<Stream>;
  /** Wakes all that wait for something to happen. */
  wake: () => void;
  changed: Promise<void>;
  turn: { isInterrupted: boolean; readonly interrupted: Promise<void>; interrupt(): void } | undefined;
  last: Promise<unknown>;
}

/** Plays the turns of a scenario to whoever sends an input. */
export class ScriptedServer {
  readonly inputs: ScriptedInput[] = [];
  readonly #turns: ScriptedProviderTurn[];
  readonly #sends: ('ok' | 'lost' | 'refused')[];
  readonly #connects: unknown[];
  readonly #sessions = new Map<string, Session>();
  #connections = 0;
  #active = 0;

  constructor({ turns = [], sends = [], connects = [] }: ScriptedProviderOptions) {
    this.#turns = [...turns];
    this.#sends = [...sends];
    this.#connects = [...connects];
  }

  get connections(): number {
    return this.#connections;
  }

  get remaining(): number {
    return this.#turns.length;
  }

  get active(): number {
    return this.#active;
  }

  script(turns: readonly ScriptedProviderTurn[]): void {
    this.#turns.push(...turns);
  }

  log(id: string): readonly ScriptedEvent[] {
    return [...this.#session(id).log];
  }

  connect(id: string): AsyncIterable<ScriptedEvent> {
    this.#connections += 1;
    const error = this.#connects.shift();
    if (error !== undefined) throw error;
    const session = this.#session(id);
    return read(session, { from: session.log.length, isAnswer: false });
  }

  send(id: string, input: ScriptedInput): void {
    const fate = this.#sends.shift() ?? 'ok';
    if (fate !== 'refused') this.#accept(id, input);
    if (fate !== 'ok') throw lostConnection();
  }

  request(id: string, input: ScriptedInput): AsyncIterable<ScriptedEvent> {
    const session = this.#session(id);
    const stream: Stream = { from: session.log.length, isAnswer: true };
    const events = read(session, stream);
    this.#accept(id, input);
    return events;
  }

  interrupt(id: string): void {
    this.#session(id).turn?.interrupt();
  }

  #accept(id: string, input: ScriptedInput): void {
    this.inputs.push(input);
    const session = this.#session(id);
    const turn = this.#turns.shift() ?? [];
    const isDone = (event: ScriptedEvent) =>
      event.type === 'stop' && event.terminal === 'end_turn' && event.reason !== 'interrupted';
    const earlier = session.log.filter(isDone).length;
    tell(session, id, input);
    const steps = typeof turn === 'function' ? turn(input, { sessionId: id, earlier }) : turn;
    const play = () => this.#play(session, id, steps);
    session.last = session.turn === undefined ? play() : session.last.then(play);
  }

  /** Everything up to the first wait happens at once. */
  async #play(session: Session, id: string, steps: readonly ScriptedProviderStep[]): Promise<void> {
    this.#active += 1;
    const turn = interruptible();
    session.turn = turn;
    const own = steps.some(({ type }) => type === 'stop') ? steps : [...steps, defaultStop(steps)];
    for (const step of own) {
      if (step.type === 'wait') await Promise.race([step.until, turn.interrupted]).catch(() => {});
      if (turn.isInterrupted) break;
      if (step.type === 'drop')
        for (const stream of session.streams) stream.cut ??= { at: session.log.length, how: step.how };
      else if (step.type !== 'wait') tell(session, id, step);
    }
    if (turn.isInterrupted) tell(session, id, { type: 'stop', terminal: 'end_turn', reason: 'interrupted' });
    session.turn = undefined;
    this.#active -= 1;
  }

  #session(id: string): Session {
    const known = this.#sessions.get(id);
    if (known !== undefined) return known;
    const session: Session = {
      log: [],
      streams: new Set(),
      wake: () => {},
      changed: Promise.resolve(),
      turn: undefined,
      last: Promise.resolve(),
    };
    renew(session);
    this.#sessions.set(id, session);
    return session;
  }
}

/** What a stream sees of the log, until it is cut off or its answer is complete. */
function read(session: Session, stream: Stream): AsyncIterable<ScriptedEvent> {
  session.streams.add(stream);
  async function* events(): AsyncGenerator<ScriptedEvent> {
    try {
      for (let at = stream.from; ; ) {
        const event = session.log[at];
        if (stream.cut !== undefined && at >= stream.cut.at) {
          if (stream.cut.how === 'error') throw lostConnection();
          return;
        }
        if (event === undefined) await session.changed;
        else {
          at += 1;
          yield event;
          if (stream.isAnswer && event.type === 'stop') return;
        }
      }
    } finally {
      session.streams.delete(stream);
    }
  }
  return events();
}

function tell(session: Session, id: string, event: Told<ScriptedEvent>): void {
  session.log.push({ eventId: `${id}-${session.log.length}`, ...event } as ScriptedEvent);
  session.wake();
  renew(session);
}

function renew(session: Session): void {
  session.changed = new Promise((resolve) => {
    session.wake = resolve;
  });
}

function interruptible() {
  let interrupt = () => {};
  const interrupted = new Promise<void>((resolve) => {
    interrupt = resolve;
  });
  const turn = {
    isInterrupted: false,
    interrupted,
    interrupt() {
      turn.isInterrupted = true;
      interrupt();
    },
  };
  return turn;
}

function defaultStop(steps: readonly ScriptedProviderStep[]): ScriptedProviderStep {
  const waits = steps.some((step) => step.type === 'tool' || (step.type === 'server_tool' && step.asks === true));
  return { type: 'stop', terminal: waits ? 'requires_action' : 'end_turn' };
}

function lostConnection(): TypeError {
  return Object.assign(new TypeError('The connection was lost'), { code: 'ECONNRESET' });
}
