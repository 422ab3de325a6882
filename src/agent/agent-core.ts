/** An agent without Genkit: definition, runs, sessions. The `genkit/` room makes actions of it. */
import { v4 as uuid } from 'uuid';
import type { Attachment, AttachOptions } from '../connection/attachment.js';
import type { WatchEvent, WatchOptions } from '../connection/connection.js';
import type { RunConnection } from '../connection/run-connection.js';
import { AgentFlowError } from '../errors.js';
import { Sessions } from '../session/sessions.js';
import type { AgentHandler, AgentOutput, StreamBidiOptions } from './agent.js';
import { attach, shareRuns } from './attach.js';
import { type AgentDefinition, assertOpening } from './definition.js';
import type { Launch } from './launch.js';
import { OpenRuns } from './open-runs.js';
import { AgentRun, type RunnableAgent } from './run.js';

/** The runs and sessions of one agent. */
export class AgentCore<State, In, Out, Chunk, Stream, Sent> {
  readonly sessions: Sessions<State>;
  readonly #definition: AgentDefinition;
  readonly #agent: RunnableAgent<State, In, Out, Chunk, Stream, Sent>;
  readonly #openRuns = new OpenRuns<RunConnection<Sent, Stream, AgentOutput<State, Out>>>();

  constructor(definition: AgentDefinition, handler: AgentHandler<State, In, Out, Chunk, Stream>) {
    this.#definition = definition;
    this.#agent = { definition, handler, onEnded: (connection) => this.#openRuns.delete(connection) };
    const { store, state: rules, clock, leaseTtlMs } = definition;
    this.sessions = new Sessions({ store, rules, clock, leaseTtlMs, newId });
    if (store !== undefined) shareRuns(store, this);
  }

  /** Opens a connection to a new run, carried by `launch`. */
  open(options: StreamBidiOptions<unknown>, launch: Launch): RunConnection<Sent, Stream, AgentOutput<State, Out>> {
    assertOpening(options);
    const { sessionId = newId() } = options;
    const run = new AgentRun<State, In, Out, Chunk, Stream, Sent>(this.#agent, newId(), sessionId, options.sendPolicy);
    this.#openRuns.add(run.connection);
    run.start(options, launch);
    return run.connection;
  }

  watch(sessionId: string, options?: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>> {
    const [connection] = this.#openRuns.of(sessionId);
    if (connection === undefined)
      throw new AgentFlowError('SESSION_NOT_RUNNING', 'No run is open for this session in this process');
    return connection.watch(options);
  }

  attach(sessionId: string, options?: AttachOptions): Attachment<Stream> {
    const { store, clock, leaseTtlMs } = this.#definition;
    return attach({ runs: this, store, clock, leaseTtlMs }, sessionId, options);
  }

  /** The runs that are open for a session in this process, in the order they were opened. */
  runsOf(sessionId: string): Iterable<RunConnection<Sent, Stream, AgentOutput<State, Out>>> {
    return this.#openRuns.of(sessionId);
  }

  /** Is a run open for this session in this process? */
  isRunning(sessionId: string): boolean {
    return this.#openRuns.has(sessionId);
  }

  /** Ends every run that is open for this session in this process. False: there was none. */
  abort(sessionId: string, reason?: unknown): boolean {
    const running = this.#openRuns.of(sessionId);
    for (const connection of running) connection.abort(reason);
    return running.length > 0;
  }
}

/** A UUID in one piece: the runtime strings it together from twenty, and a run would hold all of them as long as it lives. */
function newId(): string {
  return uuid().toLowerCase();
}
