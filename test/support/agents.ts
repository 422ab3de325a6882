/** Agents without Genkit, so that a test of the core tests the core. */

import { z } from '../../schemas/zod.js';
import type { AgentConfig, AgentHandler, AnySchema, StreamBidiOptions } from '../../src/agent/agent.js';
import { AgentCore } from '../../src/agent/agent-core.js';
import { agentDefinition } from '../../src/agent/definition.js';
import type { Launch, RunScope } from '../../src/agent/launch.js';
import type { SessionStore } from '../../src/session/store.js';

type AnyState = z.ZodDefault<z.ZodRecord<z.ZodString, z.ZodUnknown>>;

/** What a test may say of a run's surroundings. */
export interface TestScope extends Partial<RunScope> {
  /** Told about every turn: when it began and how it ended. */
  readonly onTurn?: (event: { turn: number; attempt: number; end?: unknown; isEnd: boolean }) => void;
}

/** Carries a run as Genkit would, without Genkit. */
export function launcher({ context = {}, sessionOpened = () => {}, onTurn = () => {} }: TestScope = {}): Launch {
  return (run) =>
    run.begin({
      context,
      sessionOpened,
      startTurn({ number, attempt }) {
        onTurn({ turn: number, attempt, isEnd: false });
        return (end) => onTurn({ turn: number, attempt, end, isEnd: true });
      },
    });
}

/** An agent with all types from its schemas, as `defineAgent` makes it, but registered nowhere. */
export function testAgent<
  StateSchema extends AnySchema = AnyState,
  InputSchema extends AnySchema = z.ZodUnknown,
  OutputSchema extends AnySchema = z.ZodUnknown,
  StreamSchema extends AnySchema = z.ZodUnknown,
>(
  config: Omit<AgentConfig<StateSchema, InputSchema, OutputSchema, StreamSchema>, 'name'>,
  handler: AgentHandler<
    z.output<NoInfer<StateSchema>>,
    z.output<NoInfer<InputSchema>>,
    z.input<NoInfer<OutputSchema>>,
    z.input<NoInfer<StreamSchema>>,
    z.output<NoInfer<StreamSchema>>
  >,
  scope?: TestScope,
) {
  const core = new AgentCore<
    z.output<StateSchema>,
    z.output<InputSchema>,
    z.output<OutputSchema>,
    z.input<StreamSchema>,
    z.output<StreamSchema>,
    z.input<InputSchema>
  >(agentDefinition({ name: 'test', ...config } as AgentConfig), handler);
  return {
    sessions: core.sessions,
    open: (options: StreamBidiOptions<z.input<StateSchema>> = {}) => core.open(options, launcher(scope)),
    watch: core.watch.bind(core),
    attach: core.attach.bind(core),
  };
}

/** Says every input back, twice, and remembers it. */
export const echoAgent = (store?: SessionStore) =>
  testAgent(
    {
      inputSchema: z.string(),
      streamSchema: z.string(),
      outputSchema: z.number(),
      stateSchema: z.object({ heard: z.array(z.string()).default([]) }),
      ...(store === undefined ? {} : { store }),
    },
    async ({ session, inputStream, responder }) => {
      let inputs = 0;
      for await (const input of inputStream) {
        inputs += 1;
        await responder.send(`${input}!`);
        await responder.send(`${input}?`);
        await responder.endTurn();
        await session.updateState((draft) => {
          draft.heard.push(input);
        });
      }
      return { output: inputs };
    },
  );
