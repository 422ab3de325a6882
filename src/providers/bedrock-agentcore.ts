/**
 * Amazon Bedrock AgentCore's harness as a provider: an agent that runs at AWS, and hands calls of inline functions back.
 *
 * The official SDK's client is passed in (`new BedrockAgentCore()`): it signs, and decodes AWS's event stream.
 *
 * Source: ReqManagedAgents' `AgentCore` provider.
 */
import { v4 as uuid } from 'uuid';
import { InvalidValueError } from '../errors.js';
import { type Clock, systemClock } from '../internal/clock.js';
import {
  type CommandClient,
  type CommandResult,
  type RunHarnessCommandOptions,
  runHarnessCommand,
} from './bedrock-agentcore/command.js';
import { type HarnessEvent, normalizeHarness, peekHarness } from './bedrock-agentcore/events.js';
import {
  type HarnessControlClient,
  type HarnessDescription,
  type HarnessWait,
  type ProvisionedHarness,
  type ProvisionHarnessOptions,
  ProvisioningError,
  provisionHarness,
} from './bedrock-agentcore/provision.js';
import { assertAsksOnce, type StreamAnswer, wholeStream } from './bedrock-agentcore/stream.js';
import type { Prompt, RequestResponseProvider } from './provider.js';

export {
  type CommandClient,
  type CommandResult,
  type HarnessControlClient,
  type HarnessDescription,
  type HarnessEvent,
  type HarnessWait,
  type ProvisionedHarness,
  type ProvisionHarnessOptions,
  ProvisioningError,
  provisionHarness,
  type RunHarnessCommandOptions,
  runHarnessCommand,
};

/** The part of `new BedrockAgentCore()` from `@aws-sdk/client-bedrock-agentcore` that is used. */
export interface AgentCoreClient {
  /** Asks, and answers the stream. */
  invokeHarness(input: HarnessInvocation, options: { readonly abortSignal: AbortSignal }): PromiseLike<StreamAnswer>;
  /** As the SDK's client has it. Where it tells `maxAttempts`, anything but 1 is refused with `INVALID_VALUE`. */
  readonly config?: { maxAttempts?: unknown };
}

/** What is asked; members of `request` are added. */
export interface HarnessInvocation {
  readonly harnessArn: string;
  /** 33 characters or more. */
  readonly runtimeSessionId: string;
  // The SDK's own types of messages are narrower than what is known here.
  readonly messages: never[];
  /** The harness' endpoint. */
  readonly qualifier?: string;
  /** In the place of the harness' own; absent where nothing is said. */
  readonly systemPrompt?: { text: string }[];
  /** Model turns that AWS runs in this invocation. */
  readonly maxIterations?: number;
  readonly maxTokens?: number;
  /** For the whole invocation. */
  readonly timeoutSeconds?: number;
}

/** Options of {@link bedrockAgentCoreProvider}. */
export interface BedrockAgentCoreOptions {
  /** Made with `maxAttempts: 1`: an invocation that is repeated runs its turn, and its tools at AWS, again. */
  readonly client: AgentCoreClient;
  /** As `provisionHarness` answers it. */
  readonly harnessArn: string;
  /** The harness' endpoint. @default AWS's own: DEFAULT */
  readonly qualifier?: string;
  /** What every session is told first, in the place of the harness' own; a session's own `system` comes after it. */
  readonly system?: string;
  /** Model turns that AWS runs in one invocation. @default the harness' own */
  readonly maxIterations?: number;
  /** @default the harness' own */
  readonly maxTokens?: number;
  /** For one invocation, in seconds. @default the harness' own */
  readonly timeoutSeconds?: number;
  /** Further members of the request: `model`, `tools`, `allowedTools`, `actorId`. */
  readonly request?: Readonly<Record<string, unknown>>;
  /** A stream that says nothing for so long has failed, in milliseconds. @default 300_000 */
  readonly idleTimeoutMs?: number;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** A session at AWS, which keeps the conversation. */
export interface HarnessSession {
  /** 33 characters or more, as AWS wants it. */
  readonly id: string;
  /** What the harness is told in the place of its own system prompt; `undefined`: it keeps that. */
  readonly system: string | undefined;
}

/** A message as Bedrock's Converse API writes it. */
export interface HarnessMessage {
  readonly role: 'user' | 'assistant';
  readonly content: readonly Readonly<Record<string, unknown>>[];
}

/** AWS refuses shorter ones. */
const shortestSessionId = 33;

/**
 * `open` throws `INVALID_VALUE` for a session id shorter than 33 characters, and for a client that repeats what it asks.
 * An invocation whose stream breaks off fails; it is not asked again. `messages` of a session are ignored: AWS keeps the
 * conversation.
 */
export function bedrockAgentCoreProvider(
  options: BedrockAgentCoreOptions,
): RequestResponseProvider<HarnessSession, HarnessEvent, readonly HarnessMessage[]> {
  const { client, idleTimeoutMs = 300_000, clock = systemClock } = options;

  return {
    name: 'bedrock-agentcore',
    mode: 'request_response',
    async open({ sessionId, system }) {
      await assertAsksOnce(client);
      const told = [options.system, system].filter((text) => text !== undefined && text !== '').join('\n\n');
      const id = sessionId ?? `genkitx-agent-${uuid()}`;
      if (id.length < shortestSessionId) throw badOption('sessionId', '33 characters or more', `${id.length}`);
      return { id, system: told === '' ? undefined : told };
    },
    sessionId: ({ id }) => id,
    userInput: (prompt) => [{ role: 'user', content: contentOf(prompt) }],
    resumeInput: (uses, results) => [
      {
        role: 'assistant',
        content: uses.map(({ id, name, input }) => ({
          toolUse: { toolUseId: id, name, input: tellable(input), type: 'tool_use' },
        })),
      },
      {
        role: 'user',
        content: results.map(({ toolUseId, text, isError }) => {
          const content = [{ text }];
          return { toolResult: { toolUseId, content, status: isError ? 'error' : 'success', type: 'tool_use' } };
        }),
      },
    ],
    request: (session, messages, { signal }) =>
      wholeStream(
        (abortSignal) => client.invokeHarness(invocationOf(options, session, messages), { abortSignal }),
        hasEnded,
        { signal, idleTimeoutMs, clock },
      ),
    peek: peekHarness,
    normalize: normalizeHarness,
  };
}

/** Of several messages in one answer each has an end; that of the last one counts. */
function hasEnded({ messageStart, messageStop }: HarnessEvent): boolean | undefined {
  return messageStop !== undefined ? true : messageStart !== undefined ? false : undefined;
}

/** AWS refuses a call whose input is no object, and the model may make one. */
function tellable(input: unknown): unknown {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : { INVALID_JSON: input };
}

function invocationOf(
  { harnessArn, qualifier, maxIterations, maxTokens, timeoutSeconds, request = {} }: BedrockAgentCoreOptions,
  { id, system }: HarnessSession,
  messages: readonly HarnessMessage[],
): HarnessInvocation {
  const optional = { qualifier, maxIterations, maxTokens, timeoutSeconds };
  return {
    ...request,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    ...(system === undefined ? {} : { systemPrompt: [{ text: system }] }),
    harnessArn,
    runtimeSessionId: id,
    messages: [...messages] as never[],
  };
}

function contentOf(prompt: Prompt): { text: string }[] {
  if (typeof prompt === 'string') return [{ text: prompt }];
  return prompt.map(({ text, ...part }, index) => {
    if (text !== undefined) return { text };
    const received = Object.keys(part)[0] ?? 'nothing';
    throw new InvalidValueError('input', [{ path: `prompt.${index}`, expected: 'a text', received }]);
  });
}

function badOption(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}
