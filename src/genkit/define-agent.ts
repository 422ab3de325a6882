import type { Genkit, z } from 'genkit';
import type { Agent, AgentConfig, AgentHandler, AnySchema, HandlerResult, StreamBidiOptions } from '../agent/agent.js';
import { AgentCore } from '../agent/agent-core.js';
import { agentDefinition } from '../agent/definition.js';
import type { RunConnection } from '../connection/run-connection.js';
import { silent } from '../connection/watching.js';
import { assertFunction } from '../errors/options.js';
import { AgentFlowError, InvalidValueError, isAgentFlowError, toAgentFlowError } from '../errors.js';
import type { AgentFlow } from './carried-run.js';
import { observable } from './chat/observed-run.js';
import { type ChatAgent, type ChatRuns, defineChatAgent } from './chat-agent.js';
import { defineAgentFlow } from './flow.js';
import { tellOfAbsentTelemetryOnce } from './telemetry-failures.js';

/** State of an agent without `stateSchema`. */
type AnyState = z.ZodDefault<z.ZodRecord<z.ZodString, z.ZodUnknown>>;

/** An agent that is registered with Genkit. */
export interface GenkitAgent<State, In, Out, Stream, Init = State, Sent = In>
  extends Agent<State, In, Out, Stream, Init, Sent> {
  /** The Genkit action behind the agent: hand it to `expressHandler`, or run one input with `flow(input, { init })`. */
  readonly flow: AgentFlow;
  /**
   * The same agent as one of Genkit's own, for the Dev UI's chat, for `chat()` and for the HTTP client `remoteAgent`: hand
   * `chatAgent`, `chatAgent.getSnapshotDataAction` and `chatAgent.abortAgentAction` to `expressHandler`.
   *
   * It is there where inputs and chunks are text or Genkit's own, or the configuration gives `toInput` and `toChunk`; else
   * asking for it throws an `InvalidValueError` that says what is missing.
   */
  readonly chatAgent: ChatAgent<State>;
}

/**
 * Defines an agent and registers it with Genkit as a bidi flow. All its types come from the schemas.
 *
 * Source: the Genkit agent design (`DefineAgent`, `StreamBidi`, `Responder`), in TypeScript's terms.
 *
 * Throws `InvalidValueError` and `INVALID_SCHEMA` for a configuration that cannot work, at once.
 *
 * @param ai the Genkit instance the agent is registered with
 * @param config name, schemas, store and bounds
 * @param handler runs once per connection: reads inputs, sends chunks, updates the session, returns the output
 */
export function defineAgent<
  StateSchema extends AnySchema = AnyState,
  InputSchema extends AnySchema = z.ZodUnknown,
  OutputSchema extends AnySchema = z.ZodUnknown,
  StreamSchema extends AnySchema = z.ZodUnknown,
  // A type parameter of its own lets a handler return 'even' where the schema is an enum, without `as const`.
  const Result extends HandlerResult<z.input<OutputSchema>> = HandlerResult<z.input<OutputSchema>>,
>(
  ai: Genkit,
  config: AgentConfig<StateSchema, InputSchema, OutputSchema, StreamSchema>,
  handler: AgentHandler<
    z.output<NoInfer<StateSchema>>,
    z.output<NoInfer<InputSchema>>,
    z.input<NoInfer<OutputSchema>>,
    z.input<NoInfer<StreamSchema>>,
    z.output<NoInfer<StreamSchema>>,
    Result
  >,
): GenkitAgent<
  z.output<StateSchema>,
  z.output<InputSchema>,
  z.output<OutputSchema>,
  z.output<StreamSchema>,
  z.input<StateSchema>,
  z.input<InputSchema>
> {
  type State = z.output<StateSchema>;
  type Sent = z.input<InputSchema>;
  type Defined = GenkitAgent<
    State,
    z.output<InputSchema>,
    z.output<OutputSchema>,
    z.output<StreamSchema>,
    z.input<StateSchema>,
    Sent
  >;
  const definition = agentDefinition(config);
  assertFunction(handler, 'handler');
  assertNameIsFree(ai, definition.name);
  tellOfAbsentTelemetryOnce();
  const core = new AgentCore<
    State,
    z.output<InputSchema>,
    z.output<OutputSchema>,
    z.input<StreamSchema>,
    z.output<StreamSchema>,
    Sent
  >(definition, observable(handler));
  const chatAgent = defineChatAgent<State>(ai, definition, config, core as unknown as ChatRuns);
  const { flow, launch } = defineAgentFlow(ai, definition, config.description, core);
  const streamBidi = (options: StreamBidiOptions<z.input<StateSchema>> = {}) => core.open(options, launch(options));
  const agent: Omit<Defined, 'chatAgent'> = {
    name: definition.name,
    flow,
    sessions: core.sessions,
    streamBidi,
    watch: (sessionId, options) => core.watch(sessionId, options),
    attach: (sessionId, options) => core.attach(sessionId, options),
    run(input, options) {
      const run = async () => {
        const connection = streamBidi(options);
        sendAll(connection, Array.isArray(input) ? (input as readonly Sent[]) : [input as Sent]);
        return connection.output();
      };
      return silent(run());
    },
  };
  return withChat(agent, chatAgent);
}

/** Sends the inputs and closes. One that is refused fails the run: a result that misses an input would be a lie. */
function sendAll<Sent, Stream, Output>(connection: RunConnection<Sent, Stream, Output>, inputs: readonly Sent[]): void {
  const failWith = (error: unknown) => connection.fail(toAgentFlowError(error));
  try {
    for (const input of inputs) {
      connection.send(input, { policy: 'queue' }).catch((error: unknown) => {
        // An agent may end its run before it has read everything; that is its own decision.
        if (isAgentFlowError(error) && error.code === 'INPUT_QUEUE_FULL') failWith(error);
      });
    }
    connection.close();
  } catch (error) {
    failWith(error);
  }
}

/** A getter that copies of the agent and JSON pass over: it throws where there is no chat, for nobody but who asks for one. */
function withChat<State, Rest extends object>(
  agent: Rest,
  chatAgent: ChatAgent<State> | AgentFlowError,
): Rest & { readonly chatAgent: ChatAgent<State> } {
  const get = () => {
    if (chatAgent instanceof AgentFlowError) throw chatAgent;
    return chatAgent;
  };
  return Object.defineProperty(agent, 'chatAgent', { get }) as Rest & { readonly chatAgent: ChatAgent<State> };
}

/** Genkit itself lets the last definition of a name win, with no more than a line in the log. */
function assertNameIsFree({ flows }: Genkit, name: string): void {
  if (flows.every(({ __action }) => __action.name !== name)) return;
  throw new InvalidValueError('option', [
    { path: 'name', expected: 'a name no other agent or flow has', received: JSON.stringify(name) },
  ]);
}
