/** What people see of an agent: how it is configured, what its handler is given, what its callers hold. */
import type { AgentInit, Artifact, FinishReason, Part, SendReceipt, Usage } from '../../schemas/index.js';
import type { z } from '../../schemas/zod.js';
import type { Attachment, AttachOptions } from '../connection/attachment.js';
import type { Connection, SendPolicy, WatchEvent, WatchOptions } from '../connection/connection.js';
import type { AgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import type { BusySessionPolicy } from '../session/lease.js';
import type { Session } from '../session/session.js';
import type { Sessions } from '../session/sessions.js';
import type { SessionStore } from '../session/store.js';

/** A message of a chat, as Genkit writes it. */
export interface ChatMessage {
  readonly role: 'user' | 'model' | 'tool' | 'system';
  readonly content: readonly Part[];
  /** Whatever else the client sent with it. */
  readonly metadata?: Record<string, unknown>;
}

/** A piece of a chat's answer, as Genkit's models stream it. */
export interface ChatChunk {
  readonly role?: ChatMessage['role'];
  readonly content: readonly Part[];
  /** Says more about the piece than its content. */
  readonly custom?: unknown;
}

/** Any Zod 3 schema. */
export type AnySchema = z.ZodTypeAny;

/** How an agent is defined. Every schema is Zod 3 (Genkit's `z`); an omitted one accepts anything. */
export interface AgentConfig<
  StateSchema extends AnySchema = AnySchema,
  InputSchema extends AnySchema = AnySchema,
  OutputSchema extends AnySchema = AnySchema,
  StreamSchema extends AnySchema = AnySchema,
> {
  /** Name of the Genkit flow, unique in the application. */
  readonly name: string;
  /** Said in the Dev UI. */
  readonly description?: string;
  /** One input of the caller. */
  readonly inputSchema?: InputSchema;
  /**
   * Makes an input of a chat message, for Genkit's chat (`agent.chatAgent`). Not needed where inputs are text or Genkit
   * messages themselves. The answer to a tool interrupt comes as a message of the role `tool`.
   */
  toInput?(message: ChatMessage): z.input<NoInfer<InputSchema>>;
  /** One chunk of the answer. */
  readonly streamSchema?: StreamSchema;
  /**
   * Shows a chunk as part of a chat's answer, for Genkit's chat (`agent.chatAgent`); `undefined` shows nothing. Not needed
   * where chunks are text or Genkit's model chunks themselves.
   */
  toChunk?(chunk: z.output<NoInfer<StreamSchema>>): ChatChunk | undefined;
  /** The `output` of the result. */
  readonly outputSchema?: OutputSchema;
  /** What the session remembers. Must be JSON, and accept its own output. Default: any object, `{}` at first. */
  readonly stateSchema?: StateSchema;
  /** State of a new session that is opened without `init`, where `stateSchema` itself has no default. */
  readonly initialState?: z.input<StateSchema> | (() => z.input<StateSchema>);
  /** Turns stored state that no longer fits `stateSchema` into state that does. Without it such a session is refused. */
  readonly migrate?: (stored: unknown) => unknown;
  /** Where sessions are kept. Without it a session lives as long as its connection. */
  readonly store?: SessionStore;
  /** What a second connection to a session does: wait its turn (`queue`, the default), be refused, or take over. */
  readonly onBusySession?: BusySessionPolicy;
  /** What an input does that is sent while the agent answers. Default `queue`. */
  readonly sendPolicy?: SendPolicy;
  /** Keep only the newest versions of a session: at least this many. Default: all. A resume always works. */
  readonly keepVersions?: number;
  /** Chunks that may wait for the reader before `responder.send` makes the handler wait. Default 1,024. */
  readonly maxBufferedChunks?: number;
  /** Chunks kept for late watchers after the reader has had them, here and in the store's feed. Default 10,000. */
  readonly replayChunks?: number;
  /** Inputs that may wait for the agent before further ones are refused. Default 10,000. */
  readonly maxQueuedInputs?: number;
  /** How long a store keeps the session of a process that has died, in milliseconds. Default 15,000. */
  readonly leaseTtlMs?: number;
  /** How long a handler that was aborted may still save, before the session goes to the next one; in milliseconds. Default 1,000. */
  readonly abortGraceMs?: number;
  /** Time, for tests. Default: the machine's. */
  readonly clock?: Clock;
}

/** What a turn knows of itself. */
export interface Turn<In> {
  /** Its number in this run, from 1. */
  readonly number: number;
  /** 1, and one more each time it had to start over because the process that ran it died. */
  readonly attempt: number;
  /** Fires when the turn is interrupted, when its listener has failed and when the run is aborted. Pass it to every model call. */
  readonly signal: AbortSignal;
  /**
   * Listens for inputs sent with the policy `steer` while this turn runs. The turn waits for the promises it returns. Where
   * it throws or rejects it is asked no more, and the turn fails as if its function had thrown.
   */
  onSteer(listener: (input: In) => unknown): void;
}

/** A turn that was cut short. */
export interface InterruptedTurn<In, Stream> {
  /** What it was answering. */
  readonly input: In;
  /** The turn as its handler knew it; its signal has fired. */
  readonly turn: Turn<In>;
  /** The chunks it had sent, so that its partial answer can be kept, marked as such. */
  readonly chunks: readonly Stream[];
}

/** How `turns` deals with turns that do not end well. */
export interface TurnsOptions<In, Stream> {
  /**
   * Answers a turn that threw: what it sends belongs to the turn, which then ends well. Without it the reader of that
   * turn gets the error, the inputs behind it are still answered, and the run fails with the first such error at its end.
   */
  readonly onError?: (
    error: AgentFlowError,
    failed: { readonly input: In; readonly turn: Turn<In> },
  ) => void | Promise<void>;
  /** Keeps what an interrupted turn had said. */
  readonly onInterrupt?: (interrupted: InterruptedTurn<In, Stream>) => void | Promise<void>;
}

/** How a handler speaks. */
export interface Responder<Chunk> {
  /**
   * Sends one chunk; any value the schema accepts is a chunk, `''`, `0`, `false` and `null` too. Resolves when there is
   * room for the next one. Throws at once, so that a handler that does not await misses nothing: `InvalidValueError`,
   * `TURN_INTERRUPTED` in a turn that was cut short, `RUN_ABORTED` or `RUN_ENDED` after the run.
   */
  send(chunk: Chunk): Promise<void>;
  /** Ends the turn: the reader's loop ends. One that has ended already, with nothing said since, is not ended again. */
  endTurn(): Promise<void>;
}

/** What a handler is given. */
export interface HandlerArgs<State, In, Chunk, Stream = Chunk> {
  /** What the agent remembers; this run alone may write it. Without a store it is gone with the run. */
  readonly session: Session<State>;
  /** The inputs, checked, one by one. Breaking out of a loop over it loses nothing: the next loop goes on. */
  readonly inputStream: AsyncIterable<In>;
  /** Speaks to the caller. A handler that loops over `inputStream` itself ends its turns with it. */
  readonly responder: Responder<Chunk>;
  /** The loop most agents want: one input at a time, the turn ended when the function returns. */
  readonly turns: (
    turn: (input: In, turn: Turn<In>) => void | Promise<void>,
    options?: TurnsOptions<In, Stream>,
  ) => Promise<void>;
  /** Fires when the run is aborted or has lost its session. */
  readonly signal: AbortSignal;
  /** Genkit's action context: what the caller passed as `context`, such as `auth`. */
  readonly context: Record<string, unknown>;
}

/** What a handler returns. */
export interface HandlerResult<Out> {
  /** Must fit `outputSchema`; what does not ends the run with `INVALID_VALUE`. */
  readonly output: Out;
  /** Saved with the session before the run ends. */
  readonly artifacts?: readonly Artifact[];
  /** What the whole run has used, as the handler counts it: nothing is counted here. Numbers from 0 up, as the output is checked. */
  readonly usage?: Usage;
}

/** A handler reads inputs, speaks through a responder and remembers through a session. */
export type AgentHandler<
  State,
  In,
  Out,
  Chunk,
  Stream = Chunk,
  Result extends HandlerResult<Out> = HandlerResult<Out>,
> = (args: HandlerArgs<State, In, Chunk, Stream>) => Promise<Result>;

/** What a run returns. */
export interface AgentOutput<State, Out> {
  /** The id the caller gave, else a new UUID: resumes the session, where there is a store. */
  readonly sessionId: string;
  /** What the handler returned, as `outputSchema` made it. */
  readonly output: Out;
  /** The session's state as last saved. */
  readonly state: Readonly<State>;
  /** The current version of every artifact of the session; absent when there is none. */
  readonly artifacts?: readonly Artifact[];
  /** What the handler says the run has used; absent when it does not say. */
  readonly usage?: Usage;
  /** Always `stop`: a run that was aborted or has failed returns nothing, and `output()` rejects. */
  readonly finishReason: FinishReason;
}

/** How a run is opened. */
export interface StreamBidiOptions<Init> {
  /** A known session is loaded (`init` is then ignored), an unknown one created under this id. Default: a new UUID. */
  readonly sessionId?: string;
  /** Continue from this version of a known session, as a new head. */
  readonly version?: number;
  /** State of a new session. */
  readonly init?: Init;
  /** Genkit's action context, such as `{ auth }`. */
  readonly context?: Record<string, unknown>;
  /** Aborts the run. */
  readonly abortSignal?: AbortSignal;
  /** Genkit's: raw attributes for the run's span. */
  readonly telemetryLabels?: Record<string, string>;
  /** Genkit's: told the run's trace as soon as it has one. */
  readonly onTraceStart?: (trace: { readonly traceId: string; readonly spanId: string }) => void;
  /** What to do when another connection has the session; the agent's policy by default. */
  readonly onBusySession?: BusySessionPolicy;
  /** What an input does that is sent while the agent answers; the agent's policy by default. */
  readonly sendPolicy?: SendPolicy;
}

/** The types of an agent, for `AgentTypes<typeof agent>`. */
export interface TypesOfAgent<State, In, Out, Stream, Init, Sent> {
  readonly state: State;
  /** As the handler gets it. */
  readonly input: In;
  readonly output: Out;
  /** A chunk as its reader gets it. */
  readonly stream: Stream;
  /** State of a new session, as a caller gives it. */
  readonly init: Init;
  /** An input as a caller gives it. */
  readonly sent: Sent;
}

/**
 * An agent. `In`, `Out`, `Stream` and `State` are what its schemas produce; `Sent` and `Init` what a caller may give them
 * (they differ where a schema has defaults or transforms).
 */
export interface Agent<State, In, Out, Stream, Init = State, Sent = In> {
  readonly name: string;
  /** Never there at run time: carries the types to `AgentTypes<typeof agent>`. */
  readonly types?: TypesOfAgent<State, In, Out, Stream, Init, Sent>;
  /**
   * Opens a connection, at once; what goes wrong while the session is opened arrives with `receive()` and `output()`.
   * Throws `InvalidValueError` for options that are wrong in themselves.
   */
  streamBidi(options?: StreamBidiOptions<Init>): Connection<Sent, Stream, AgentOutput<State, Out>>;
  /**
   * Sends one input, or several in order, closes, and waits for the result. An array is several inputs; where one input
   * is itself an array, wrap it in another. Rejects with whatever goes wrong, wrong options too.
   */
  run(input: Sent | readonly Sent[], options?: StreamBidiOptions<Init>): Promise<AgentOutput<State, Out>>;
  /** Watches the run that is open for a session in this process. Throws `SESSION_NOT_RUNNING`. */
  watch(sessionId: string, options?: WatchOptions): AsyncIterableIterator<WatchEvent<Stream>>;
  /**
   * Attaches to the run of a session, in this process or another that has the same store: to watch it from any cursor, and
   * to end it. What goes wrong arrives when it is watched or aborted; a cursor that is none throws `InvalidValueError`.
   *
   * A run of this process is watched directly, one of another process through the store's feed, which holds as many chunks
   * as a watcher here could be behind (`replayChunks` and `maxBufferedChunks`), for ten minutes after the run's last one.
   * Chunks are checked where they are sent, not again. They travel as JSON: what JSON cannot carry is never changed in
   * silence, it ends the watching of other processes with `INVALID_VALUE`; members that are `undefined` are left out.
   */
  attach(sessionId: string, options?: AttachOptions): Attachment<Stream>;
  /** The stored sessions: look, list, fork, delete. */
  readonly sessions: Sessions<State>;
}

/** The types of an agent, for clients that import nothing else of it: `AgentTypes<typeof chat>['state']`. */
export type AgentTypes<A extends { readonly types?: unknown }> = NonNullable<A['types']>;

export type { AgentInit, Artifact, FinishReason, SendReceipt, Usage };
