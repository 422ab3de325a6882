/** An agent as a Genkit bidi flow: what the Dev UI lists and runs, and what carries every run of our own. */
import type { Genkit } from 'genkit';
import { logger } from 'genkit/logging';
import { toJsonSchema } from 'genkit/schema';
import { AgentInitSchema, agentOutputSchema } from '../../schemas/index.js';
import type { AgentOutput, StreamBidiOptions } from '../agent/agent.js';
import type { AgentCore } from '../agent/agent-core.js';
import { checked } from '../agent/checks.js';
import type { AgentDefinition } from '../agent/definition.js';
import type { Launch, RunScope } from '../agent/launch.js';
import type { RunConnection } from '../connection/run-connection.js';
import { type AgentFlowError, isAgentFlowError, toAgentFlowError } from '../errors.js';
import { mendCalls } from './action-calls.js';
import { defineBareFlow, type SideChannel } from './bare-flow.js';
import { type AgentFlow, CarriedRun, launcherOf } from './carried-run.js';
import { inputsUntil } from './inputs-until.js';
import { withTurnSpans } from './spans.js';

/** Defines the flow of an agent: with its schemas in place, and with what launches runs of our own in it. */
export function defineAgentFlow<State, In, Out, Chunk, Stream, Sent>(
  ai: Genkit,
  definition: AgentDefinition,
  description: string | undefined,
  core: AgentCore<State, In, Out, Chunk, Stream, Sent>,
): { readonly flow: AgentFlow; readonly launch: ReturnType<typeof launcherOf> } {
  const { name, inputSchema, streamSchema, stateSchema } = definition;
  const outputSchema = agentOutputSchema(definition.outputSchema, stateSchema);
  const initSchema = AgentInitSchema.extend({ init: stateSchema.optional() });
  const metadata = {
    bidi: true,
    initSchema: toJsonSchema({ schema: initSchema }) ?? {},
    streamSchema: toJsonSchema({ schema: streamSchema }) ?? {},
    stateSchema: toJsonSchema({ schema: stateSchema }) ?? {},
  };
  const flow = defineBareFlow(ai, { name, metadata }, (side) => {
    const { inputStream, context } = side;
    if (inputStream instanceof CarriedRun) return inputStream.carry(context);
    return withTurnSpans(name, context, (scope) => serve(core, side, scope));
  });
  // For those who list them.
  Object.assign(flow.__action, {
    inputSchema,
    outputSchema,
    streamSchema,
    initSchema,
    ...(description === undefined ? {} : { description }),
  });
  // Before the flow is mended: runs of our own are told of errors as they were thrown.
  const launch = launcherOf(flow);
  mendCalls(ai, flow);
  return { flow, launch };
}

/** What is `undefined` was not given: a caller of the flow may write it out. */
function given<Options extends object>(
  options: Options,
): { [Key in keyof Options]?: Exclude<Options[Key], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Options]?: Exclude<Options[Key], undefined>;
  };
}

/** A run that Genkit carries: the Dev UI, `flow:run`, Express. Inputs come as a stream, chunks leave by callback. */
async function serve<State, Out, Stream, Sent>(
  core: {
    open(options: StreamBidiOptions<unknown>, launch: Launch): RunConnection<Sent, Stream, AgentOutput<State, Out>>;
  },
  { inputStream, init, context, abortSignal, sendChunk }: SideChannel,
  scope: RunScope,
): Promise<AgentOutput<State, Out>> {
  const { sessionId, version, init: state } = checked(AgentInitSchema, init ?? {}, 'init');
  const options = given({ sessionId, version, init: state, context, abortSignal });
  const connection = core.open(options, (run) => run.begin(scope));
  void feed(connection, inputStream as AsyncIterable<Sent>);
  const output = connection.output();
  output.catch(() => {});
  try {
    for await (const chunk of connection.receiveAll()) sendChunk(chunk);
  } catch (error) {
    // The run's own error, which the output rejects with as well; or nobody can be told of chunks any more.
    connection.fail(toAgentFlowError(error));
  }
  return output;
}

/** Is it this input that the agent will not have, and not the end of the run? */
function isRefusal(error: unknown): error is AgentFlowError {
  return isAgentFlowError(error) && ['INVALID_VALUE', 'INVALID_SCHEMA', 'TURN_BUSY'].includes(error.code);
}

/**
 * Sends what the stream brings until it or the run ends. An input that is refused is logged and the ones behind it are
 * still served; if there was nothing but refused inputs, the run fails with the first refusal.
 */
async function feed<Sent, Stream, Output>(
  connection: RunConnection<Sent, Stream, Output>,
  inputs: AsyncIterable<Sent>,
): Promise<void> {
  let served = 0;
  let refusal: unknown;
  try {
    for await (const input of inputsUntil(connection.done, inputs)) {
      try {
        await connection.send(input);
        served += 1;
      } catch (error) {
        if (!isRefusal(error)) break;
        refusal ??= error;
        logger.warn(`An input was refused: ${error.message}`);
      }
    }
  } catch (error) {
    // The stream broke off: what was served is not all there was to serve, so the run fails.
    refusal ??= error;
    served = 0;
  }
  if (served === 0 && refusal !== undefined) connection.fail(toAgentFlowError(refusal));
  else connection.close();
}
