/** A shell command in the machine of a harness' session: what is certain needs no model. */
import { AgentFlowError } from '../../errors.js';
import { type Clock, systemClock } from '../../internal/clock.js';
import { members } from '../raw-event.js';
import { assertAsksOnce, type StreamAnswer, wholeStream } from './stream.js';

/** The part of `new BedrockAgentCore()` from `@aws-sdk/client-bedrock-agentcore` that runs commands. */
export interface CommandClient {
  /** Runs the command, and answers what it writes as a stream; `timeout` is in seconds. */
  invokeAgentRuntimeCommand(
    input: {
      readonly agentRuntimeArn: string;
      readonly runtimeSessionId: string;
      readonly qualifier?: string;
      readonly body: { command: string; timeout?: number };
    },
    options: { readonly abortSignal: AbortSignal },
  ): PromiseLike<StreamAnswer>;
  /** As the SDK's client has it. Where it tells `maxAttempts`, anything but 1 is refused with `INVALID_VALUE`. */
  readonly config?: { maxAttempts?: unknown };
}

/** Options of {@link runHarnessCommand}. */
export interface RunHarnessCommandOptions {
  /** Made with `maxAttempts: 1`: a command that is repeated runs again. */
  readonly client: CommandClient;
  /** The runtime below the harness, as `provisionHarness` answers it. */
  readonly agentRuntimeArn: string;
  /** The id of the session: the command sees what its agent sees. */
  readonly runtimeSessionId: string;
  /** For the shell. */
  readonly command: string;
  /** The runtime's endpoint. @default AWS's own */
  readonly qualifier?: string;
  /** AWS ends a command that takes longer, in seconds. @default AWS's own: 300 */
  readonly timeoutSeconds?: number;
  /** Told what the command writes, as it comes. */
  readonly onOutput?: (output: { readonly stdout: string; readonly stderr: string }) => void;
  /** A command that says nothing for so long has failed, in milliseconds. @default 300_000 */
  readonly idleTimeoutMs?: number;
  /** Hangs up; rejects with its reason. */
  readonly signal?: AbortSignal;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** What became of a command. One that failed is a result too. */
export interface CommandResult {
  /** The command's own; 0 when it went well. */
  readonly exitCode: number;
  /** All that it wrote, in order. */
  readonly stdout: string;
  /** All that it wrote there, in order. */
  readonly stderr: string;
  /** AWS ended it, because its time was over. */
  readonly isTimedOut: boolean;
}

/** AWS's own failure, not the command's. */
const platformError = -1;

/**
 * Runs a command in a session's machine, once. Throws `BACKEND_FAILED` when the stream breaks off, or when AWS could not run
 * it; `INVALID_VALUE` for a client that repeats what it asks.
 */
export async function runHarnessCommand({
  client,
  agentRuntimeArn,
  runtimeSessionId,
  command,
  qualifier,
  timeoutSeconds,
  onOutput = () => {},
  idleTimeoutMs = 300_000,
  signal = new AbortController().signal,
  clock = systemClock,
}: RunHarnessCommandOptions): Promise<CommandResult> {
  await assertAsksOnce(client);
  const body = { command, ...(timeoutSeconds === undefined ? {} : { timeout: timeoutSeconds }) };
  const where = { agentRuntimeArn, runtimeSessionId, ...(qualifier === undefined ? {} : { qualifier }) };
  const chunks = wholeStream(
    (abortSignal) => client.invokeAgentRuntimeCommand({ ...where, body }, { abortSignal }),
    ({ chunk }) => (members(chunk).contentStop === undefined ? undefined : true),
    { signal, idleTimeoutMs, clock },
  );
  let stdout = '';
  let stderr = '';
  let end = members(undefined);
  for await (const { chunk } of chunks) {
    const { contentDelta, contentStop } = members(chunk);
    const output = { stdout: textOf(members(contentDelta).stdout), stderr: textOf(members(contentDelta).stderr) };
    stdout += output.stdout;
    stderr += output.stderr;
    if (contentDelta !== undefined) onOutput(output);
    if (contentStop !== undefined) end = members(contentStop);
  }
  const { exitCode, status } = end;
  if (typeof exitCode !== 'number' || exitCode === platformError) throw notRun({ exitCode, status, stderr });
  return { exitCode, stdout, stderr, isTimedOut: status === 'TIMED_OUT' };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function notRun(details: object): AgentFlowError {
  return new AgentFlowError('BACKEND_FAILED', 'AWS could not run the command', { status: 'INTERNAL', details });
}
