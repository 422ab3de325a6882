/** One run of an agent as a Genkit chat: inputs in Genkit's words become turns, and what comes of them Genkit's chunks. */
import type { MessageData } from 'genkit';
import type { AgentInput, AgentOutput, AgentStreamChunk, SessionState } from 'genkit/beta';
import type { SendReceipt } from '../../../schemas/index.js';
import type { Artifact, AgentOutput as OwnOutput } from '../../agent/agent.js';
import type { RunConnection } from '../../connection/run-connection.js';
import { AgentFlowError, isAgentFlowError, toAgentFlowError } from '../../errors.js';
import { Deferred } from '../../internal/deferred.js';
import type { Session } from '../../session/session.js';
import { inputsUntil } from '../inputs-until.js';
import { answerFromOutput, ChatAnswer, CustomPatches, isInterrupted, type TurnReason, wireError } from './answer.js';
import { ChatIntake, messageOf } from './intake.js';
import type { RunObserver } from './observed-run.js';
import type { ChatShape } from './shape.js';
import { encodeSnapshotId } from './snapshot-id.js';
import { type ChatSnapshots, exposedState } from './snapshots.js';
import type { ChatTasks, RunningTask } from './tasks.js';

/** The connection a chat speaks through. */
export type ChatConnection = RunConnection<unknown, unknown, OwnOutput<unknown, unknown>>;

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

/** A point a client can go on from. */
interface Standing {
  readonly version: number;
  readonly state: unknown;
  readonly artifacts: readonly Artifact[];
}

/** One chat, from the first input to the output. */
export class ChatRun implements RunObserver {
  readonly #parts: ChatRunParts;
  readonly #connection: ChatConnection;
  readonly #intake = new ChatIntake();
  readonly #opened = new Deferred<void>();
  readonly #settled = new Deferred<AgentOutput>();
  readonly #patches = new CustomPatches();
  #session: Session<unknown> | undefined;
  #openedAt = 0;
  #lastGood: Standing | undefined;
  #lastMessage: MessageData | undefined;
  #answer = new ChatAnswer();
  #failure: AgentFlowError | undefined;
  #turnsEnded = 0;
  #hasEnded = false;
  #task: RunningTask | undefined;
  #output: AgentOutput | undefined;

  constructor(parts: ChatRunParts) {
    this.#parts = parts;
    this.#connection = parts.open(this);
    void this.#connection.done.then(() => {
      this.#hasEnded = true;
    });
  }

  /** In the background a run goes on whatever becomes of its caller. */
  get isDetached(): boolean {
    return this.#task !== undefined;
  }

  /** Rejects only for a misuse; whatever goes wrong in the agent is told in the output. */
  async run(inputs: AsyncIterable<unknown>): Promise<AgentOutput> {
    this.#intake
      .fill(inputs, this.#connection.done, () => this.#detach())
      .catch((error) => {
        this.#settled.reject(error);
        this.#connection.fail(toAgentFlowError(error));
      });
    this.#work().then(
      async (output) => {
        this.#output = output;
        await this.#task?.end(this.#taskRecord(output));
        this.#settled.resolve(output);
      },
      (error) => this.#settled.reject(error),
    );
    return this.#settled.promise;
  }

  async opened(session: Session<unknown>): Promise<void> {
    for (const artifact of this.#parts.clientState?.artifacts ?? []) await session.saveArtifact(artifact as Artifact);
    this.#session = session;
    this.#openedAt = session.version;
    this.#lastGood = this.#standing(session);
    this.#opened.resolve();
  }

  stateSaved(): void {
    const customPatch = this.#patches.next(this.#exposed().custom);
    if (customPatch !== undefined) this.#emit({ customPatch });
  }

  artifactSaved(artifact: Artifact): void {
    this.#emit({ artifact: artifact as AgentStreamChunk['artifact'] });
  }

  async #work(): Promise<AgentOutput> {
    await Promise.race([this.#opened.promise, this.#connection.done]);
    for await (const input of inputsUntil(this.#connection.done, this.#intake)) {
      if (!(await this.#turn(input))) break;
    }
    this.#connection.close();
    // A handler may say something after its last input.
    const rest = this.#relay(this.#connection.receiveAll()).catch(() => {});
    const output = this.#connection.output();
    output.catch(() => {});
    await rest;
    const { error } = await this.#connection.done;
    this.#failure ??= error;
    return this.#failure === undefined ? this.#goodOutput(await output) : this.#badOutput(this.#failure);
  }

  /** Answers one input. False: it failed, and the ones behind it are not taken. */
  async #turn(input: AgentInput): Promise<boolean> {
    const session = this.#session;
    if (session === undefined) return false;
    const { messages = [], custom } = this.#exposed();
    this.#patches.begin(custom);
    this.#lastMessage = messages.at(-1);
    this.#answer = new ChatAnswer();
    try {
      await this.#converse(this.#parts.shape.toSent(messageOf(input, messages)));
    } catch (error) {
      this.#failure = toAgentFlowError(error);
    }
    if (this.#failure === undefined) this.#lastGood = this.#standing(session);
    this.#emit({ turnEnd: { ...this.#snapshotId(), finishReason: this.#reason } });
    return this.#failure === undefined;
  }

  /** Sends an input and passes on what is said to it; inputs that a process before left behind are answered first. */
  async #converse(sent: unknown): Promise<void> {
    let turn: number | undefined;
    const taken = this.#send(sent).then((receipt) => {
      turn = receipt.turn;
    });
    taken.catch(() => {});
    for (;;) {
      const failure = await this.#relay(this.#connection.receive()).then(() => undefined, toAgentFlowError);
      this.#turnsEnded += 1;
      const isAnswered = turn === this.#turnsEnded;
      if (isAnswered && failure !== undefined) throw failure;
      if (isAnswered) return;
      if (this.#hasEnded) return taken;
      this.#answer = new ChatAnswer();
    }
  }

  /** Throws what ended the run, if it has ended: that it takes no more inputs is no answer. */
  #send(sent: unknown): Promise<SendReceipt> {
    try {
      // One is sent when the one before is answered; what may still run then was left behind by another process.
      return this.#connection.send(sent, { policy: 'queue' });
    } catch (error) {
      const isOver = isAgentFlowError(error) && error.code === 'CONNECTION_CLOSED';
      throw isOver ? (error.cause ?? error) : error;
    }
  }

  async #relay(chunks: AsyncIterable<unknown>): Promise<void> {
    for await (const chunk of chunks) {
      const modelChunk = this.#parts.shape.toChunk(chunk);
      if (modelChunk === undefined) continue;
      this.#answer.add(modelChunk);
      this.#emit({ modelChunk });
    }
  }

  /** Lets the caller go, and the run go on. */
  async #detach(): Promise<void> {
    const { server } = this.#parts;
    if (server === undefined) throw new AgentFlowError('NO_STORE', 'Detach needs an agent with a session store');
    await Promise.race([this.#opened.promise, this.#connection.done]);
    const session = this.#session;
    if (session === undefined || this.#task !== undefined) return;
    const { id: sessionId } = session;
    const { version } = this.#standing(session);
    const abort = () => this.#connection.abort('aborted by another process');
    const task = await server.tasks.begin(sessionId, version, abort);
    this.#task = task;
    // The agent may have ended the run meanwhile.
    if (this.#output !== undefined) await task.end(this.#taskRecord(this.#output));
    const snapshotId = encodeSnapshotId({ sessionId, version, task: task.id });
    this.#settled.resolve({ sessionId, snapshotId, finishReason: 'detached' });
  }

  /** Whoever listened may be gone, which is no business of the handler's. */
  #emit(chunk: AgentStreamChunk): void {
    if (this.isDetached) return;
    try {
      this.#parts.sendChunk(chunk);
    } catch {
      // The stream was closed.
    }
  }

  get #reason(): TurnReason {
    if (this.#failure?.code === 'RUN_ABORTED') return 'aborted';
    if (this.#failure !== undefined) return 'failed';
    return isInterrupted(this.#message(undefined)) ? 'interrupted' : 'stop';
  }

  /** The model's answer: what the state's conversation ends with if that is new, else what was streamed or returned. */
  #message(output: unknown): MessageData | undefined {
    const last = this.#exposed().messages?.at(-1);
    const isNew = last?.role === 'model' && last !== this.#lastMessage;
    return structuredClone(isNew ? last : (this.#answer.message ?? answerFromOutput(output)));
  }

  #goodOutput({ sessionId, output, artifacts }: OwnOutput<unknown, unknown>): AgentOutput {
    const message = this.#message(output);
    return {
      sessionId,
      finishReason: this.#reason,
      ...(message === undefined ? {} : { message }),
      ...(artifacts === undefined ? {} : { artifacts: structuredClone([...artifacts]) as AgentOutput['artifacts'] }),
      ...this.#memory(this.#session === undefined ? undefined : this.#standing(this.#session)),
    };
  }

  /** After a failure the client goes on from before the turn, after an abort from what was saved until then. */
  async #badOutput(failure: AgentFlowError): Promise<AgentOutput> {
    const session = this.#session;
    const finishReason = this.#reason;
    const error = finishReason === 'failed' ? { error: wireError(failure) } : {};
    const { clientState, server } = this.#parts;
    if (session === undefined) return { finishReason, ...error, ...(clientState && { state: clientState }) };
    const from = (finishReason === 'failed' ? this.#lastGood : undefined) ?? this.#standing(session);
    // Retention may have dropped the version the turn began with.
    const kept = await server?.snapshots.kept(session.id, from.version).catch(() => undefined);
    const memory = this.#memory({ ...from, version: kept ?? from.version });
    return { sessionId: session.id, finishReason, ...error, ...memory };
  }

  /** What the client needs to go on: the name of a version, or the state itself. */
  #memory(from: Standing | undefined): Pick<AgentOutput, 'snapshotId' | 'state'> {
    const { shape, server } = this.#parts;
    const session = this.#session;
    if (session === undefined || from === undefined) return {};
    if (server !== undefined) return this.#snapshotId(from.version);
    return { state: exposedState(shape, { sessionId: session.id, ...from }) };
  }

  #snapshotId(version = this.#lastGood?.version): Pick<AgentOutput, 'snapshotId'> {
    const sessionId = this.#session?.id;
    if (this.#parts.server === undefined || sessionId === undefined || version === undefined) return {};
    return { snapshotId: encodeSnapshotId({ sessionId, version }) };
  }

  #taskRecord({ finishReason, error }: AgentOutput) {
    const isBad = finishReason === 'failed' || finishReason === 'aborted';
    const end = this.#session && this.#standing(this.#session);
    const version = (finishReason === 'failed' ? this.#lastGood : end)?.version ?? 1;
    return { status: isBad ? finishReason : ('completed' as const), version, finishReason, error };
  }

  /** A session that went back to an old version is that version until it is saved, whatever its newest one is. */
  #standing({ version, state, artifacts }: Session<unknown>): Standing {
    const isUnchanged = version === this.#openedAt;
    return { version: isUnchanged ? (this.#parts.version ?? version) : version, state, artifacts };
  }

  #exposed() {
    return this.#parts.shape.expose(this.#session?.state ?? {});
  }
}
