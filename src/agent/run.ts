/** One run of an agent: a session is opened, the handler reads and speaks, the result follows. */
import type { Connection } from '../connection/connection.js';
import { Inbox } from '../connection/inbox.js';
import { Outbox } from '../connection/outbox.js';
import { RunConnection } from '../connection/run-connection.js';
import { silent } from '../connection/watching.js';
import { AgentFlowError, toAgentFlowError } from '../errors.js';
import { type Opened, openSession } from '../session/open-session.js';
import type { OpenSession } from '../session/session.js';
import type { AcceptedInput } from '../session/store.js';
import type { AgentHandler, AgentOutput, HandlerArgs, HandlerResult, StreamBidiOptions } from './agent.js';
import { rememberArtifacts } from './artifacts.js';
import { checked } from './checks.js';
import type { AgentDefinition } from './definition.js';
import { type Publisher, publish } from './feed/publisher.js';
import { Intake } from './intake.js';
import { RunResponder } from './responder.js';
import { RunAbort, withSignal } from './run-abort.js';
import { RunHost } from './run-host.js';
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
  /** Told once, when the run is over. */
  readonly onEnded: () => void;
}

/** One run of an agent, from `streamBidi` to its result. */
export class AgentRun<State, In, Out, Chunk, Stream, Sent> {
  readonly connection: RunConnection<Sent, Stream, AgentOutput<State, Out>>;
  readonly #request: RunRequest<State, In, Out, Chunk, Stream>;
  readonly #inbox: Inbox<In>;
  readonly #outbox: Outbox<Stream>;
  readonly #abort = new RunAbort();
  #output: AgentOutput<State, Out> | undefined;
  #intake: Intake<In, Stream> | undefined;
  #publisher: Publisher<Stream> | undefined;
  #hasBegun = false;
  /** Ends the run at once, whatever its handler is doing. */
  #leave: (error: AgentFlowError) => void = () => {};

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
        this.#abort.abort(error);
        this.#intake?.turn?.abort(error);
        this.#leave(error);
      },
      onEnded: request.onEnded,
    });
  }

  /** Begins. Whatever goes wrong arrives through the connection. */
  start(launch: Launch): void {
    const { connection } = this;
    const { abortSignal } = this.#request.options;
    if (abortSignal !== undefined) abortWith(connection, abortSignal);
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
    const abort = this.#abort;
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
      // Made only where there is a store to wait for.
      get signal() {
        return abort.signal;
      },
      onLost: (error) => this.connection.fail(error),
    });
  }

  /** Ends with the handler's result, or as soon as the run fails, whether or not the handler notices. */
  #run(scope: RunScope, opened: Promise<Opened<State>>): Promise<AgentOutput<State, Out>> {
    return new Promise((resolve, reject) => {
      this.#leave = reject;
      if (this.#abort.aborted) reject(this.#abort.reason);
      const succeed = (output: AgentOutput<State, Out>) => {
        this.#output = output;
        resolve(output);
      };
      const fail = (error: unknown) => {
        this.connection.fail(toAgentFlowError(error));
        reject(error);
      };
      this.#work(scope, opened).then(succeed, fail);
    });
  }

  async #work(scope: RunScope, opened: Promise<Opened<State>>): Promise<AgentOutput<State, Out>> {
    this.#hasBegun = true;
    const { session, lease, pending } = await opened;
    this.connection.hasSession = true;
    this.#publisher = publish(this.#request.definition, lease, this.connection, this.#outbox.log);
    const intake = this.#newIntake(scope, session);
    const { streamSchema } = this.#request.definition;
    const host = new RunHost({ intake, outbox: this.#outbox, streamSchema, abort: this.#abort });
    try {
      scope.sessionOpened(session.id);
      intake.replay(pending);
      const result = await this.#handle(scope, session, intake, host);
      host.end(new AgentFlowError('RUN_ENDED', 'The run has ended: the handler has returned'));
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
    const record = (input: AcceptedInput) => session.accept(input);
    const ends = { inbox: this.#inbox, outbox: this.#outbox };
    this.#intake = new Intake<In, Stream>({ run: this.#request.id, ...ends, scope, signal: this.#abort, record });
    return this.#intake;
  }

  /** The handler's result; after an abort it has a while to notice, and is then left alone. */
  #handle(
    scope: RunScope,
    session: OpenSession<State>,
    intake: Intake<In, Stream>,
    host: RunHost<In, Stream>,
  ): Promise<HandlerResult<Out>> {
    const { definition, handler } = this.#request;
    const abort = this.#abort;
    return new Promise((resolve, reject) => {
      abort.throwIfAborted();
      abort.onAbort(() => definition.clock.after(definition.abortGraceMs, () => reject(abort.reason)));
      const args = withSignal<Omit<HandlerArgs<State, In, Chunk, Stream>, 'signal'>>(abort, {
        session,
        inputStream: host.inputStream,
        responder: new RunResponder<Chunk, Stream>(host),
        turns: (work, options) => {
          intake.allowInterrupts();
          return silent(runTurns(host, work, options));
        },
        context: scope.context,
      });
      Promise.resolve(handler(args)).then(resolve, reject);
    });
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

  /** Whatever happened, the next connection gets the session; a store that cannot be reached lets it go by its lease. */
  async #giveBack(session: OpenSession<State>, intake: Intake<In, Stream>): Promise<void> {
    const error = this.#abort.reason;
    await intake.finish(error);
    await session.end(error ?? new AgentFlowError('RUN_ENDED', 'The run has ended'));
    await this.#publisher?.end(error);
    await session.release().catch(() => {});
  }
}

/** Aborts the connection when the signal fires, and forgets the signal when the run is over. */
function abortWith(connection: Pick<Connection<never, never, never>, 'abort' | 'done'>, signal: AbortSignal): void {
  const abort = () => connection.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  void connection.done.then(() => signal.removeEventListener('abort', abort));
}
