/**
 * CONTRACT: a model, or a hosted agent, that runs one turn and may hand tool calls back. The tool loop
 * (`genkitx-agent/backends/tool-loop`) drives it; whether its events are pushed or pulled changes nothing but how a turn
 * is acquired.
 */
import type { Part, Usage } from '../../schemas/index.js';

/** What a model is asked: text, or Genkit parts. */
export type Prompt = string | readonly Part[];

/** One message of a conversation, as Genkit writes it. */
export interface Message {
  readonly role: 'system' | 'user' | 'model' | 'tool';
  readonly content: readonly Part[];
  /** Whatever else is known of it; `interrupted: true` marks what a turn that was cut short had said. */
  readonly metadata?: Record<string, unknown>;
}

/** A tool call. */
export interface ToolUse {
  /** Unique in its session; a call with a known id is never run twice. */
  readonly id: string;
  readonly name: string;
  /** As the model made it, unchecked. */
  readonly input: unknown;
}

/** What became of a tool call. */
export interface ToolResult {
  /** The id of the call it answers. */
  readonly toolUseId: string;
  readonly name: string;
  /** What the tool returned: a string as it is, anything else as JSON; of a failed one, why. */
  readonly text: string;
  /** The call failed; `text` says why. */
  readonly isError: boolean;
}

/** What was decided about a call that the provider runs itself, once it is allowed to. */
export interface ToolDecision {
  /** The id of the call it is about. */
  readonly toolUseId: string;
  readonly isAllowed: boolean;
  /** Why not, for the model. */
  readonly reason?: string;
}

/** What a hosted agent is to achieve: the vendor grades the work, and has it revised until it is good enough. */
export interface Outcome {
  /** What is to be there in the end. */
  readonly description: string;
  /** How it is graded: as text, or a file the vendor has. */
  readonly rubric: string | { readonly fileId: string };
  /** How often it is graded. @default the vendor's own */
  readonly maxIterations?: number;
}

/** How an {@link Outcome} was graded. */
export interface OutcomeGrade {
  /** In the vendor's own word: `satisfied`, `needs_revision`, `max_iterations_reached`, `failed`. */
  readonly verdict: string;
  /** Why, in the grader's words. */
  readonly explanation: string;
  /** Which round it was, from 0. */
  readonly iteration: number;
}

/** How a turn ended: the model is done, it waits for tool results or for somebody's word, or it can go no further. */
export type TerminalState = 'end_turn' | 'requires_action' | 'terminated';

/** One turn, normalised. Normalising adds, it never takes away: the raw events stay as they came. */
export interface ProviderTurn {
  readonly terminal: TerminalState;
  /** Why, in the vendor's own word: `max_tokens` and `retries_exhausted` stay apart although both terminate. */
  readonly stopReason: string;
  /** What was said in the whole turn. */
  readonly text: string;
  /** Calls handed back: the loop runs them. */
  readonly toolUses: readonly ToolUse[];
  /** Calls the provider ran itself; told, not run. */
  readonly serverToolUses: readonly ToolUse[];
  /** Calls among those that it does not run before somebody has allowed them. */
  readonly confirmations?: readonly ToolUse[];
  /** What this turn used, not what the session has used so far. */
  readonly usage: Usage | undefined;
  /** The last grade, where an outcome was graded in this turn. */
  readonly outcome?: OutcomeGrade;
  /** The model that really answered. */
  readonly model?: string;
}

/** What one raw event says by itself, as it arrives: a piece of the answer, what has just been used, the turn's end. */
export interface EventPeek {
  /** Unique in its session: an event that is seen twice counts once. Without it an event cannot be replayed. */
  readonly id?: string;
  /** A piece of the answer, to be put right behind the one before. */
  readonly text?: string;
  /** What has been used since the last event that said so. */
  readonly usage?: Usage;
  /** The turn is over with this event. @default false */
  readonly ends?: boolean;
  /** It may come between two turns: that it is there does not say that one is going on. */
  readonly isAside?: boolean;
}

/** How a session is opened: made, or taken up by its id; with the conversation so far, for a provider that keeps it itself. */
export interface OpenOptions {
  /** The session to take up. @default a new one */
  readonly sessionId?: string;
  /** What the model is told before everything else. */
  readonly system?: string;
  /** The conversation so far, oldest first; ignored where the vendor keeps it. */
  readonly messages?: readonly Message[];
}

interface ProviderBase<Session, Event, Input> {
  /** Names the vendor in errors and telemetry (`gen_ai.provider.name`). */
  readonly name: string;
  /** Makes a session, or takes one up. Rejects when it can do neither. */
  open(options: OpenOptions, io: { readonly signal: AbortSignal }): Promise<Session>;
  /** The session's id; the loop's journal and the spans go by it. */
  sessionId(session: Session): string;
  /** A prompt as an input. May throw `INVALID_VALUE` for a part the vendor has no words for. */
  userInput(prompt: Prompt): Input;
  /** The first input of a new session, where it differs from `userInput`. */
  kickoffInput?(prompt: Prompt): Input;
  /** An outcome as an input. Without it nothing but prompts can be asked. */
  outcomeInput?(outcome: Outcome): Input;
  /** The answers to calls that were handed back, and to those that wait for somebody's word; never called with none. */
  resumeInput(uses: readonly ToolUse[], results: readonly ToolResult[], decisions?: readonly ToolDecision[]): Input;
  /** What one event says by itself. The same event may be asked about more than once. */
  peek(event: Event): EventPeek;
  /** The events of one turn, in order, as a whole. */
  normalize(events: readonly Event[]): ProviderTurn;
  /** All events of the session so far, oldest first. Without it a connection that is lost cannot be made good. */
  history?(session: Session, io: { readonly signal: AbortSignal }): Promise<readonly Event[]>;
  /** The calls in these events that no later one answers. */
  pending?(events: readonly Event[]): readonly ToolUse[];
  /** The calls in these events that wait for somebody's word. */
  unconfirmed?(events: readonly Event[]): readonly ToolUse[];
  /** Ends the turn on the vendor's side, so that nothing goes on that nobody waits for. */
  interrupt?(session: Session): Promise<void>;
  /** The conversation, for a provider that keeps it itself. */
  transcript?(session: Session): readonly Message[];
  /** Lets go of the session on this side; it can be taken up again. */
  close?(session: Session): Promise<void>;
}

/** A provider that pushes the events of all turns through one stream. */
export interface StreamingProvider<Session = unknown, Event = unknown, Input = unknown>
  extends ProviderBase<Session, Event, Input> {
  readonly mode: 'streaming';
  /** Resolves when the stream is connected: what happens from then on arrives. */
  connect(session: Session, io: { readonly signal: AbortSignal }): Promise<AsyncIterable<Event>>;
  /** Sends an input, once. The loop never repeats it without having looked whether it arrived. */
  send(session: Session, input: Input, io: { readonly signal: AbortSignal }): Promise<void>;
  /** Is the input among these events, which are newer than it? Without it an input whose sending failed is not sent again. */
  arrived?(input: Input, events: readonly Event[]): boolean;
}

/** A provider that answers each input with the events of one turn. */
export interface RequestResponseProvider<Session = unknown, Event = unknown, Input = unknown>
  extends ProviderBase<Session, Event, Input> {
  readonly mode: 'request_response';
  /** Throws an error of this package where the turn has failed; any other may be a connection that was lost. */
  request(session: Session, input: Input, io: { readonly signal: AbortSignal }): AsyncIterable<Event>;
}

/** A model, or a hosted agent, that runs one turn and may hand tool calls back. */
export type Provider<Session = unknown, Event = unknown, Input = unknown> =
  | StreamingProvider<Session, Event, Input>
  | RequestResponseProvider<Session, Event, Input>;
