/** One run of an agent: a session is opened, the handler reads and speaks, the result follows. */
import { UsageSchema } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import type { Connection, SendPolicy } from '../connection/connection.js';
import { Inbox } from '../connection/inbox.js';
import { Outbox } from '../connection/outbox.js';
import { RunConnection, type RunConnectionParts } from '../connection/run-connection.js';
import { silent } from '../connection/watching.js';
import { AgentFlowError, toAgentFlowError } from '../errors.js';
import { type Opened, openSession } from '../session/open-session.js';
import type { OpenSession } from '../session/session.js';
import type { AcceptedInput } from '../session/store.js';
import type { AgentHandler, AgentOutput, HandlerArgs, HandlerResult, StreamBidiOptions } from './agent.js';
import { saveNewArtifacts } from './artifacts.js';
import { checked } from './checks.js';
import type { AgentDefinition } from './definition.js';
import { type Publisher, publish } from './feed/publisher.js';
import { HandlerSide } from './handler-side.js';
import { Intake, type IntakeParts } from './intake.js';
import type { Launch, LaunchedRun, RunScope } from './launch.js';
import { LazyAbort, withSignal } from './lazy-abort.js';
import { RunResponder } from './responder.js';
import { runTurns } from './turn-loop.js';

/** Ids a connection remembers by itself, to answer them without the store. */
const rememberedIds = 10_000;

/** What a result may say of its usage. Whatever else a model counts is passed on. */
const SaidUsageSchema = z.object({ usage: UsageSchema.passthrough().optional() });

/** An agent as its runs need it. */
export interface RunnableAgent<State, In, Out, Chunk, Stream, Sent> {
  readonly definition: AgentDefinition;
  readonly handler: AgentHandler<State, In, Out, Chunk, Stream>;
  /** Told once, when a run is over. */
  onEnded(connection: RunConnection<Sent, Stream, AgentOutput<State, Out>>): void;
}

/**
 * One run of an agent, from `streamBidi` to its result. Most runs idle most of the time, so nothing here waits in an
 * async function while the handler does, and the parts of a run look at it instead of having objects of their own.
 */
export class AgentRun<State, In, Out, Chunk, Stream, Sent>
  implements LaunchedRun, RunConnectionParts<Sent, Stream>, IntakeParts<In, Stream>
{
  readonly id: string;
  readonly sessionId: string;
  readonly policy: SendPolicy;
  readonly inbox: Inbox<In>;
  readonly outbox: Outbox<Stream>;
  readonly connection: RunConnection<Sent, Stream, AgentOutput<State, Out>>;
  readonly abort = new LazyAbort();
  scope: RunScope | undefined;
  readonly #agent: RunnableAgent<State, In, Out, Chunk, Stream, Sent>;
  /** Until the run begins. */
  #opening: Promise<Opened<State>> | undefined;
  #session: OpenSession<State> | undefined;
  #intake: Intake<In, Stream> | undefined;
  #handlerSide: HandlerSide<In, Stream> | undefined;
  #publisher: Publisher<Stream> | undefined;
  /** The handler has been called, and has neither returned nor been left alone. */
  #isHandling = false;
  /** While an abort gives the handler time to notice. */
  #cancelGrace: (() => void) | undefined;

  constructor(
    agent: RunnableAgent<State, In, Out, Chunk, Stream, Sent>,
    id: string,
    sessionId: string,
    sendPolicy: SendPolicy | undefined,
  ) {
    const { definition } = agent;
    this.#agent = agent;
    this.id = id;
    this.sessionId = sessionId;
    this.policy = sendPolicy ?? definition.sendPolicy;
    this.inbox = new Inbox(definition.maxQueuedInputs, definition.store && rememberedIds);
    this.outbox = new Outbox(id, definition);
    this.connection = new RunConnection(this);
  }

  /** Begins. Whatever goes wrong arrives through the connection. */
  start(options: StreamBidiOptions<unknown>, launch: Launch): void {
    try {
      const { abortSignal } = options;
      if (abortSignal !== undefined) abortWith(this.connection, abortSignal);
      // At once, not when the launch gets round to it: connections have a session in the order they were opened.
      this.#opening = silent(this.#open(options));
      launch(this);
    } catch (error) {
      this.refuse(error);
    }
  }

  begin(scope: RunScope): void {
    this.scope = scope;
    void this.#startHandling(scope);
  }

  refuse(error: unknown): void {
    void silent(Promise.resolve(this.#opening).then((opened) => opened?.session.release()));
    this.connection.fail(toAgentFlowError(error));
  }

  checkInput(input: Sent): In {
    return checked(this.#agent.definition.inputSchema, input, 'input');
  }

  get keepsInputs(): boolean {
    return this.#agent.definition.store !== undefined;
  }

  record(input: AcceptedInput): Promise<AcceptedInput> {
    return this.#session === undefined ? Promise.resolve(input) : this.#session.accept(input);
  }

  /** The run ends at once, whatever its handler is doing; that has a while to notice, and is then left alone. */
  onAbort(error: AgentFlowError): void {
    this.abort.abort(error);
    this.#intake?.abort(error);
    void this.scope?.ended?.(error);
    const { clock, abortGraceMs } = this.#agent.definition;
    if (!this.#isHandling) return;
    // Somebody may wait for the session, here or in another process: this one must not end before it is given back.
    this.#cancelGrace = clock.after(abortGraceMs, () => void this.#stopHandling({ error }), { keepAlive: true });
  }

  onEnded(): void {
    this.#agent.onEnded(this.connection);
  }

  #open(options: StreamBidiOptions<unknown>): Promise<Opened<State>> {
    const { definition } = this.#agent;
    return openSession<State>({
      sessionId: this.sessionId,
      store: definition.store,
      rules: definition.state,
      init: options.init,
      version: options.version,
      policy: options.onBusySession ?? definition.onBusySession,
      owner: this.id,
      clock: definition.clock,
      leaseTtlMs: definition.leaseTtlMs,
      keepVersions: definition.keepVersions,
      signal: this.abort,
      onLost: (error) => this.connection.fail(error),
    });
  }

  /** Waits for the session and calls the handler; what comes after that is `#stopHandling`. */
  async #startHandling(scope: RunScope): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    let opened: Opened<State> | undefined;
    try {
      opened = await opening;
    } catch (error) {
      this.#fail(error);
    }
    if (opened === undefined) return;
    const { session, lease, pending } = opened;
    const { definition } = this.#agent;
    this.#session = session;
    this.connection.hasSession = true;
    const intake = new Intake<In, Stream>(this, scope);
    this.#intake = intake;
    this.#isHandling = true;
    try {
      this.#publisher = publish(definition, lease, this.connection, this.outbox);
      scope.sessionOpened(session.id);
      intake.replay(pending);
      this.abort.throwIfAborted();
      this.#callHandler(scope, session, intake);
    } catch (error) {
      await this.#stopHandling({ error });
    }
  }

  #callHandler(scope: RunScope, session: OpenSession<State>, intake: Intake<In, Stream>): void {
    const { definition, handler } = this.#agent;
    const { abort, outbox } = this;
    const side = new HandlerSide({ intake, outbox, streamSchema: definition.streamSchema, abort });
    this.#handlerSide = side;
    const args = withSignal<Omit<HandlerArgs<State, In, Chunk, Stream>, 'signal'>>(abort, {
      session,
      inputStream: side.inputStream,
      responder: new RunResponder<Chunk, Stream>(side),
      turns: (work, options) => runTurns(side, work, options),
      context: scope.context,
    });
    Promise.resolve(handler(args)).then(
      (result) => this.#stopHandling({ result }),
      (error) => this.#stopHandling({ error }),
    );
  }

  /** The handler is done, or left alone. Whatever happened, the next connection gets the session. */
  async #stopHandling(outcome: { readonly result: HandlerResult<Out> } | { readonly error: unknown }): Promise<void> {
    if (!this.#isHandling) return;
    this.#isHandling = false;
    this.#cancelGrace?.();
    let output: AgentOutput<State, Out> | undefined;
    try {
      if ('error' in outcome) throw outcome.error;
      this.#handlerSide?.end(new AgentFlowError('RUN_ENDED', 'The run has ended: the handler has returned'));
      const tooLate = 'The agent ended the run before it took this input';
      this.#intake?.end(new AgentFlowError('CONNECTION_CLOSED', tooLate));
      output = await this.#result(outcome.result);
    } catch (error) {
      // Tell the callers first: giving the session back may take a while.
      this.#fail(error);
    }
    try {
      await this.#giveSessionBack();
    } catch (error) {
      this.#fail(error);
    }
    if (output === undefined || this.abort.aborted) return;
    // The result is told when what carries the run is done with it, so that its trace is complete by then.
    const traced = this.scope?.ended?.(undefined, output);
    if (traced !== undefined) await traced;
    this.connection.succeed(output);
  }

  #fail(error: unknown): void {
    this.connection.fail(toAgentFlowError(error));
    // The connection may have failed before the run began, of which the trace does not know yet.
    void this.scope?.ended?.(this.abort.reason);
  }

  async #result(result: HandlerResult<Out>): Promise<AgentOutput<State, Out>> {
    const session = this.#session;
    if (session === undefined) throw new AgentFlowError('RUN_ENDED', 'The run has no session');
    const { sessionId } = this;
    const output: Out = checked(this.#agent.definition.outputSchema, result?.output, 'output');
    const { usage } = checked(SaidUsageSchema, { usage: result?.usage }, 'output');
    await saveNewArtifacts(session, result?.artifacts ?? []);
    await session.end(new AgentFlowError('RUN_ENDED', 'The run has ended: its session can no longer be changed'));
    const { artifacts, state } = session;
    return {
      sessionId,
      output,
      state,
      ...(artifacts.length === 0 ? {} : { artifacts }),
      ...(usage === undefined ? {} : { usage }),
      finishReason: 'stop',
    };
  }

  /** A store that cannot be reached lets the session go by its lease. */
  async #giveSessionBack(): Promise<void> {
    const error = this.abort.reason;
    // First, because a store that does not answer what the intake records must let the session go, too.
    const saved = this.#session?.end(error ?? new AgentFlowError('RUN_ENDED', 'The run has ended'));
    await this.#intake?.finish(error);
    await saved;
    // A feed that cannot be ended expires, too.
    await this.#publisher?.end(error).catch(() => {});
    await this.#session?.release().catch(() => {});
  }
}

/** Aborts the connection when the signal fires, and forgets the signal when the run is over. */
function abortWith(connection: Pick<Connection<never, never, never>, 'abort' | 'done'>, signal: AbortSignal): void {
  const abort = () => connection.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  void connection.done.then(() => signal.removeEventListener('abort', abort));
}
