/** One run of an agent as a Genkit chat: inputs in Genkit's words become turns, and what comes of them Genkit's chunks. */
import type { AgentInput, AgentOutput, AgentStreamChunk, SessionState } from 'genkit/beta';
import type { Artifact, AgentOutput as OwnOutput } from '../../agent/agent.js';
import { AgentFlowError, toAgentFlowError } from '../../errors.js';
import { Deferred } from '../../internal/deferred.js';
import type { Session } from '../../session/session.js';
import { inputsUntil } from '../inputs-until.js';
import { ChatAnswer, type TurnReason, turnReason, wireError } from './answer.js';
import { ChatClient } from './client.js';
import { Detachment } from './detachment.js';
import { type AnswerListener, type ChatConnection, ChatExchange } from './exchange.js';
import { ChatIntake, messageOf } from './intake.js';
import type { RunObserver } from './observed-run.js';
import type { ChatShape } from './shape.js';
import type { ChatSnapshots } from './snapshots.js';
import type { ChatTasks } from './tasks.js';
import { ChatTrail } from './trail.js';

/** What a {@link ChatRun} needs. */
export interface ChatRunParts {
  readonly shape: ChatShape;
  /** Only for an agent with a store. */
  readonly server: { readonly snapshots: ChatSnapshots; readonly tasks: ChatTasks } | undefined;
  /** The state that a client without a server's memory brought along. */
  readonly clientState: SessionState | undefined;
  /** The version the client goes on from, where it names one. */
  readonly version: number | undefined;
  readonly sendChunk: (chunk: AgentStreamChunk) => void;
  /** Opens the connection; the run is told of everything that is saved in it. */
  readonly open: (observer: RunObserver) => ChatConnection;
}

/** One chat, from the first input to the output. */
export class ChatRun implements RunObserver, AnswerListener {
  readonly #shape: ChatShape;
  readonly #trail: ChatTrail;
  readonly #client: ChatClient;
  readonly #detachment: Detachment | undefined;
  readonly #connection: ChatConnection;
  readonly #exchange: ChatExchange;
  readonly #opened = new Deferred<void>();
  readonly #settled = new Deferred<AgentOutput>();
  #answer = new ChatAnswer();
  #failure: AgentFlowError | undefined;

  constructor({ shape, server, clientState, version, sendChunk, open }: ChatRunParts) {
    this.#shape = shape;
    this.#trail = new ChatTrail({ shape, snapshots: server?.snapshots, clientState, version });
    this.#client = new ChatClient(sendChunk);
    this.#detachment = server && new Detachment(server.tasks);
    this.#connection = open(this);
    this.#exchange = new ChatExchange(this.#connection);
  }

  /** In the background a run goes on whatever becomes of its caller. */
  get isDetached(): boolean {
    return this.#detachment?.isDetached ?? false;
  }

  /** Rejects only for a misuse; whatever goes wrong in the agent is told in the output. */
  async run(inputs: AsyncIterable<unknown>): Promise<AgentOutput> {
    const intake = new ChatIntake();
    intake
      .fill(inputs, this.#connection.done, () => this.#detach())
      .catch((error) => {
        this.#settled.reject(error);
        this.#connection.fail(toAgentFlowError(error));
      });
    this.#converse(intake).then(
      (output) => this.#settled.resolve(output),
      (error) => this.#settled.reject(error),
    );
    return this.#settled.promise;
  }

  async opened(session: Session<unknown>): Promise<void> {
    await this.#trail.begin(session);
    this.#opened.resolve();
  }

  stateSaved(): void {
    this.#client.stateIs(this.#trail.exposed.custom);
  }

  artifactSaved(artifact: Artifact): void {
    this.#client.artifactIs(artifact);
  }

  said(chunk: unknown): void {
    const modelChunk = this.#shape.toChunk(chunk);
    if (modelChunk === undefined) return;
    this.#answer.add(modelChunk);
    this.#client.hear(modelChunk);
  }

  startOver(): void {
    this.#answer.startOver();
  }

  async #converse(inputs: AsyncIterable<AgentInput>): Promise<AgentOutput> {
    await this.#openedOrEnded();
    for await (const input of inputsUntil(this.#connection.done, inputs)) {
      if (!(await this.#turn(input))) break;
    }
    const output = await this.#finish();
    const { finishReason = 'stop', error } = output;
    const status = finishReason === 'failed' || finishReason === 'aborted' ? finishReason : 'completed';
    const version = this.#trail.after(finishReason)?.version ?? 1;
    await this.#detachment?.end({ status, version, finishReason, error });
    return output;
  }

  async #openedOrEnded(): Promise<void> {
    await Promise.race([this.#opened.promise, this.#connection.done]);
  }

  /** Answers one input. False: it failed, and the ones behind it are not taken. */
  async #turn(input: AgentInput): Promise<boolean> {
    // The run ended before it had its session.
    if (this.#trail.here === undefined) return false;
    const { messages = [], custom } = this.#trail.exposed;
    this.#client.turnBegins(custom);
    this.#answer = new ChatAnswer(messages.at(-1));
    try {
      await this.#exchange.ask(this.#shape.toSent(messageOf(input, messages)), this);
      this.#trail.markGood();
    } catch (error) {
      this.#failure = toAgentFlowError(error);
    }
    this.#client.turnEnds({ ...this.#trail.lastGoodSnapshot, finishReason: this.#reason });
    return this.#failure === undefined;
  }

  /** No more turns. A handler may say something after its last input. */
  async #finish(): Promise<AgentOutput> {
    const outcome = await this.#exchange.finish(this);
    if ('error' in outcome) this.#failure ??= outcome.error;
    else if (this.#failure === undefined) return this.#goodOutput(outcome.output);
    return this.#badOutput(this.#failure);
  }

  #goodOutput({ output, artifacts }: OwnOutput<unknown, unknown>): AgentOutput {
    const message = this.#answer.message(this.#trail.exposed, output);
    return {
      finishReason: this.#reason,
      ...(message === undefined ? {} : { message: structuredClone(message) }),
      ...(artifacts === undefined ? {} : { artifacts: structuredClone([...artifacts]) as AgentOutput['artifacts'] }),
      ...this.#trail.memory,
    };
  }

  async #badOutput(failure: AgentFlowError): Promise<AgentOutput> {
    const finishReason = this.#reason;
    const error = finishReason === 'failed' ? { error: wireError(failure) } : {};
    return { finishReason, ...error, ...(await this.#trail.memoryAfter(finishReason)) };
  }

  get #reason(): TurnReason {
    return turnReason(this.#failure, this.#answer.message(this.#trail.exposed));
  }

  /** Lets the caller go, and the run go on. */
  async #detach(): Promise<void> {
    const detachment = this.#detachment;
    if (detachment === undefined) throw new AgentFlowError('NO_STORE', 'Detach needs an agent with a session store');
    await this.#openedOrEnded();
    const { here } = this.#trail;
    if (here === undefined || detachment.isDetached) return;
    const abort = () => this.#connection.abort('aborted by another process');
    const snapshotId = await detachment.begin(here, abort);
    this.#client.letGo();
    this.#settled.resolve({ sessionId: here.sessionId, snapshotId, finishReason: 'detached' });
  }
}
