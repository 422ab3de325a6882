/** One run of an agent: a session is opened, the handler reads and speaks, the result follows. */
import { Inbox } from '../connection/inbox.js';
import { Outbox } from '../connection/outbox.js';
import { RunConnection } from '../connection/run-connection.js';
import { AgentFlowError, toAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import { type Opened, openSession } from '../session/open-session.js';
import type { OpenSession } from '../session/session.js';
import type { AcceptedInput } from '../session/store.js';
import type { AgentHandler, AgentOutput, HandlerResult, StreamBidiOptions } from './agent.js';
import { rememberArtifacts } from './artifacts.js';
import { checked } from './checks.js';
import type { AgentDefinition } from './definition.js';
import { Intake } from './intake.js';
import { RunResponder } from './responder.js';
import type { Launch, RunScope } from './runtime.js';
import { runTurns } from './turns.js';

/** What a run begins with. */
export interface RunRequest<State, In, Out, Chunk, Stream> {
  readonly definition: AgentDefinition;
  readonly handler: AgentHandler<State, In, Out, Chunk, Stream>;
  /** Unique to this run. */
  readonly id: string;
  readonly sessionId: string;
  readonly options: StreamBidiOptions<unknown>;
}

/** One run of an agent, from `streamBidi` to its result. */
export class AgentRun<State, In, Out, Chunk, Stream, Sent> {
  readonly connection: RunConnection<Sent, Stream, AgentOutput<State, Out>>;
  readonly #request: RunRequest<State, In, Out, Chunk, Stream>;
  readonly #inbox: Inbox<In>;
  readonly #outbox: Outbox<Stream>;
  readonly #controller = new AbortController();
  readonly #failed = new Deferred<never>();
  #output: AgentOutput<State, Out> | undefined;
  #intake: Intake<In, Stream> | undefined;
  #endedBy: AgentFlowError | undefined;
  #hasBegun = false;

  constructor(request: RunRequest<State, In, Out, Chunk, Stream>) {
    this.#request = request;
    const { definition, id, sessionId, options } = request;
    this.#inbox = new Inbox(definition.maxQueuedInputs);
    this.#outbox = new Outbox({
      run: id,
      maxBufferedChunks: definition.maxBufferedChunks,
      replayChunks: definition.replayChunks,
    });
    this.connection = new RunConnection<Sent, Stream, AgentOutput<State, Out>>({
      sessionId,
      policy: options.sendPolicy ?? definition.sendPolicy,
      inbox: this.#inbox as Inbox<unknown>,
      outbox: this.#outbox,
      checkInput: (input) => checked(definition.inputSchema, input, 'input'),
      onAbort: (error) => {
        this.#controller.abort(error);
        this.#intake?.turn?.abort(error);
        this.#failed.reject(error);
      },
    });
  }

  /** Begins. Whatever goes wrong arrives through the connection. */
  start(launch: Launch): void {
    const { connection } = this;
    const { abortSignal } = this.#request.options;
    const abort = () => connection.abort(abortSignal?.reason);
    if (abortSignal?.aborted) abort();
    abortSignal?.addEventListener('abort', abort, { once: true });
    void connection.done.then(() => abortSignal?.removeEventListener('abort', abort));
    // At once, not when the launch gets round to it: connections have a session in the order they were opened.
    const opened = silent(this.#open());
    const settle = (error?: unknown) => {
      if (!this.#hasBegun) void silent(opened.then(({ session }) => session.release()));
      if (this.#output === undefined) connection.fail(toAgentFlowError(error));
      else connection.succeed(this.#output);
    };
    // The result is told when what carries the run is done with it, so that its trace is complete by then.
    launch((scope) => this.#run(scope, opened)).then(() => settle(), settle);
  }

  #open(): Promise<Opened<State>> {
    const { definition, id, sessionId, options } = this.#request;
    return openSession<State>({
      sessionId,
      store: definition.store,
      rules: definition.state,
      init: options.init,
      version: options.version,
      policy: options.onBusySession ?? definition.onBusySession,
      owner: id,
      clock: definition.clock,
      leaseTtlMs: definition.leaseTtlMs,
      keepVersions: definition.keepVersions,
      signal: this.#controller.signal,
      onLost: (error) => this.connection.fail(error),
    });
  }

  /** Ends with the handler's result, or as soon as the run fails, whether or not the handler notices. */
  async #run(scope: RunScope, opened: Promise<Opened<State>>): Promise<AgentOutput<State, Out>> {
    const work = this.#work(scope, opened);
    work.catch((error) => this.connection.fail(toAgentFlowError(error)));
    this.#output = await Promise.race([work, this.#failed.promise]);
    return this.#output;
  }

  async #work(scope: RunScope, opened: Promise<Opened<State>>): Promise<AgentOutput<State, Out>> {
    this.#hasBegun = true;
    const { session, pending } = await opened;
    const intake = this.#newIntake(scope, session);
    try {
      scope.sessionOpened(session.id);
      intake.replay(pending);
      const result = await this.#handle(scope, session, intake);
      this.#endedBy = new AgentFlowError('RUN_ENDED', 'The run has ended: the handler has returned');
      intake.end(new AgentFlowError('CONNECTION_CLOSED', 'The agent ended the run before it took this input'));
      return await this.#result(session, result);
    } catch (error) {
      // Tell the callers first: giving the session back may take a while.
      this.connection.fail(toAgentFlowError(error));
      throw error;
    } finally {
      await this.#giveBack(session, intake);
    }
  }

  #newIntake(scope: RunScope, session: OpenSession<State>): Intake<In, Stream> {
    const { signal } = this.#controller;
    const record = (input: AcceptedInput) => session.accept(input);
    const ends = { inbox: this.#inbox, outbox: this.#outbox };
    this.#intake = new Intake<In, Stream>({ run: this.#request.id, ...ends, scope, signal, record });
    return this.#intake;
  }

  /** The handler's result; after an abort it has a while to notice, and is then left alone. */
  #handle(scope: RunScope, session: OpenSession<State>, intake: Intake<In, Stream>): Promise<HandlerResult<Out>> {
    const { definition, handler } = this.#request;
    const { signal } = this.#controller;
    const host = this.#host(intake);
    const graceOver = new Deferred<never>();
    signal.addEventListener(
      'abort',
      () => definition.clock.after(definition.abortGraceMs, () => graceOver.reject(signal.reason)),
      { once: true },
    );
    const answered = (async () => {
      signal.throwIfAborted();
      return handler({
        session,
        inputStream: host.inputStream,
        responder: new RunResponder<Chunk, Stream>(host),
        turns: (work, options) => silent(runTurns(host, work, options)),
        signal,
        context: scope.context,
      });
    })();
    return Promise.race([answered, graceOver.promise]);
  }

  #host(intake: Intake<In, Stream>) {
    const next = () => intake.next();
    const close = (): Promise<IteratorResult<In, undefined>> => Promise.resolve({ value: undefined, done: true });
    return {
      inputStream: { [Symbol.asyncIterator]: () => ({ next, return: close }) },
      signal: this.#controller.signal,
      outbox: this.#outbox,
      streamSchema: this.#request.definition.streamSchema,
      currentTurn: () => intake.turn,
      assertMaySend: () => {
        this.#assertIsRunning();
        intake.turn?.assertMaySend();
      },
      sent: (chunk: Stream) => intake.turn?.record(chunk),
      // A handler need not wait: what it says next comes after the end of the turn, and so does the next input.
      endTurn: async () => {
        this.#assertIsRunning();
        this.#outbox.endTurn(false);
        await intake.settle();
      },
      // The loop waits, so its readers see the end of a turn when the session knows of it.
      closeTurn: async (interrupted: boolean, error?: AgentFlowError) => {
        this.#assertIsRunning();
        await intake.settle(error);
        this.#outbox.endTurn(interrupted, error);
      },
    };
  }

  async #result(session: OpenSession<State>, result: HandlerResult<Out>): Promise<AgentOutput<State, Out>> {
    const { definition, sessionId } = this.#request;
    const output: Out = checked(definition.outputSchema, result?.output, 'output');
    await rememberArtifacts(session, result?.artifacts ?? []);
    await session.end(new AgentFlowError('RUN_ENDED', 'The run has ended: its session can no longer be changed'));
    const { artifacts, state } = session;
    return {
      sessionId,
      output,
      state,
      ...(artifacts.length === 0 ? {} : { artifacts }),
      ...(result?.usage === undefined ? {} : { usage: result.usage }),
      finishReason: 'stop',
    };
  }

  #assertIsRunning(): void {
    this.#controller.signal.throwIfAborted();
    if (this.#endedBy !== undefined) throw this.#endedBy;
  }

  /** Whatever happened, the next connection gets the session; a store that cannot be reached lets it go by its lease. */
  async #giveBack(session: OpenSession<State>, intake: Intake<In, Stream>): Promise<void> {
    const error = this.#controller.signal.reason as AgentFlowError | undefined;
    await intake.finish(error);
    await session.end(error ?? new AgentFlowError('RUN_ENDED', 'The run has ended'));
    await session.release().catch(() => {});
  }
}

/** A rejection nobody waits for stays silent. */
function silent<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
