/**
 * A harness at AWS, from a description: made when it is first asked for, found again ever after. Another description is
 * another harness.
 *
 * Source: ReqManagedAgents' `AgentCore` provider.
 */
import { v4 as uuid } from 'uuid';
import { InvalidValueError } from '../../errors.js';
import { type Clock, systemClock } from '../../internal/clock.js';
import { contentName } from '../content-name.js';
import { pause } from '../pause.js';
import { members } from '../raw-event.js';
import { type HarnessWait, isConflict, isMissing, isPassing, ProvisioningError } from './provision-errors.js';

export { type HarnessWait, ProvisioningError };

interface RequestOptions {
  readonly abortSignal: AbortSignal;
}

/** The part of `new BedrockAgentCoreControl()` from `@aws-sdk/client-bedrock-agentcore-control` that is used. */
export interface HarnessControlClient {
  createHarness(input: never, options: RequestOptions): PromiseLike<{ readonly harness?: unknown }>;
  getHarness(input: { harnessId: string }, options: RequestOptions): PromiseLike<{ readonly harness?: unknown }>;
  listHarnesses(
    input: { nextToken?: string },
    options: RequestOptions,
  ): PromiseLike<{ readonly harnesses?: unknown; readonly nextToken?: string | undefined }>;
  deleteHarness(input: { harnessId: string; clientToken: string }, options: RequestOptions): PromiseLike<unknown>;
}

/** A harness as `CreateHarness` takes it. The name is put before a digest of all the rest. */
export interface HarnessDescription {
  /** A letter, then letters, digits and `_`. */
  readonly name: string;
  /** The IAM role that the harness works as. */
  readonly executionRoleArn: string;
  /** What the agent is told before everything else. */
  readonly systemPrompt?: readonly { readonly text: string }[];
  /** As `CreateHarness` takes it. @default AWS's own */
  readonly model?: Readonly<Record<string, unknown>>;
  /** Those that are run here are inline functions. */
  readonly tools?: readonly Readonly<Record<string, unknown>>[];
  /** Further members: `skills`, `allowedTools`, `environment`, `memory`, `maxIterations`. */
  readonly [member: string]: unknown;
}

/** Options of {@link provisionHarness}. */
export interface ProvisionHarnessOptions {
  /** `new BedrockAgentCoreControl()`; it may repeat what it asks, for a creation carries a token. */
  readonly client: HarnessControlClient;
  readonly harness: HarnessDescription;
  /** For everything together, in milliseconds. @default 600_000 */
  readonly timeoutMs?: number;
  /** Between two looks at a harness that is not ready, in milliseconds. @default 2_000 */
  readonly pollIntervalMs?: number;
  /** Ends the wait, not what AWS has begun; rejects with its reason. */
  readonly signal?: AbortSignal;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** What {@link provisionHarness} answers. */
export interface ProvisionedHarness {
  readonly harnessArn: string;
  readonly harnessId: string;
  /** What `runHarnessCommand` runs commands on, where AWS tells it. */
  readonly agentRuntimeArn?: string;
}

interface Harness {
  readonly harnessId: string;
  readonly arn: string;
  readonly status: string;
  readonly failureReason?: string;
  readonly environment?: unknown;
}

const maxTries = 5;
const namePattern = /^[a-zA-Z][a-zA-Z0-9_]*$/;

/**
 * Answers the harness that is described, ready, and makes it when it is not there. One that is being made or changed is
 * waited for, one that is being deleted is made anew when it is gone, and one that was made here and failed is deleted.
 * Each creation carries a token, by which AWS knows one that is repeated. Throws a {@link ProvisioningError} when a harness
 * has failed or the time is over, and the SDK's own errors for what was refused.
 *
 * @example
 * const { harnessArn } = await provisionHarness({ client: control, harness: { name: 'clerk', executionRoleArn, tools } });
 * const provider = bedrockAgentCoreProvider({ client, harnessArn });
 */
export async function provisionHarness({
  client,
  harness: { name: base, ...content },
  timeoutMs = 600_000,
  pollIntervalMs = 2_000,
  signal = new AbortController().signal,
  clock = systemClock,
}: ProvisionHarnessOptions): Promise<ProvisionedHarness> {
  if (typeof base !== 'string' || !namePattern.test(base))
    throw badOption('harness.name', 'a letter, then letters, digits and _', String(base));
  if (!(timeoutMs >= 1)) throw badOption('timeoutMs', 'a time from 1', String(timeoutMs));
  if (!(pollIntervalMs >= 1)) throw badOption('pollIntervalMs', 'a time from 1', String(pollIntervalMs));
  const outOfTime = new AbortController();
  const cancel = clock.after(timeoutMs, () => outOfTime.abort(), { keepAlive: true });
  const description = { ...content, harnessName: contentName(base, content) };
  const either = AbortSignal.any([signal, outOfTime.signal]);
  const maker = new HarnessMaker({ client, description, pollIntervalMs, signal: either, clock });
  try {
    return await maker.ready();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (outOfTime.signal.aborted)
      throw maker.failed('DEADLINE_EXCEEDED', `was not ready within ${timeoutMs} ms`, error);
    throw error;
  } finally {
    cancel();
  }
}

interface MakerParts {
  readonly client: HarnessControlClient;
  readonly description: { readonly harnessName: string };
  readonly pollIntervalMs: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** One try to have a harness ready; knows how far it has come. */
class HarnessMaker {
  readonly #parts: MakerParts;
  readonly #startedAt: number;
  #phase: HarnessWait['phase'] = 'finding';
  #harnessId: string | undefined;
  #lastStatus: string | undefined;
  #polls = 0;

  constructor(parts: MakerParts) {
    this.#parts = parts;
    this.#startedAt = parts.clock.now();
  }

  async ready(): Promise<ProvisionedHarness> {
    for (;;) {
      this.#phase = 'finding';
      const found = await this.#patiently(() => this.#find());
      const harnessId = found ?? (await this.#create());
      const harness = harnessId === undefined ? undefined : await this.#settled(harnessId, found === undefined);
      if (harness !== undefined) return provisioned(harness);
      // It was deleted meanwhile, or somebody else has just taken the name.
      await this.#pause();
    }
  }

  failed(status: 'DEADLINE_EXCEEDED' | 'FAILED_PRECONDITION', what: string, cause?: unknown): ProvisioningError {
    const wait = {
      ...(this.#harnessId === undefined ? {} : { harnessId: this.#harnessId }),
      phase: this.#phase,
      ...(this.#lastStatus === undefined ? {} : { lastStatus: this.#lastStatus }),
      elapsedMs: this.#parts.clock.now() - this.#startedAt,
      polls: this.#polls,
    };
    return new ProvisioningError(`The harness ${this.#parts.description.harnessName} ${what}`, status, wait, cause);
  }

  async #find(): Promise<string | undefined> {
    const { client, signal, description } = this.#parts;
    const known = new Set<string | undefined>();
    let nextToken: string | undefined;
    do {
      known.add(nextToken);
      const page = await client.listHarnesses(nextToken === undefined ? {} : { nextToken }, { abortSignal: signal });
      const all = Array.isArray(page.harnesses) ? page.harnesses.map(members) : [];
      const found = all.find(({ harnessName }) => harnessName === description.harnessName);
      if (found !== undefined) return String(found.harnessId);
      nextToken = page.nextToken;
      // A token that leads back would list the same for ever.
    } while (nextToken !== undefined && !known.has(nextToken));
    return undefined;
  }

  /** Nothing when the name is taken. */
  async #create(): Promise<string | undefined> {
    const { client, signal, description } = this.#parts;
    this.#phase = 'creating';
    const input = { ...description, clientToken: `genkitx-agent-${uuid()}` } as never;
    return this.#patiently(async () => {
      try {
        const { harness } = await client.createHarness(input, { abortSignal: signal });
        return harnessOf(harness)?.harnessId;
      } catch (error) {
        if (isConflict(error)) return undefined;
        throw error;
      }
    });
  }

  /** The harness when it is ready; nothing when it is gone. */
  async #settled(harnessId: string, isOwn: boolean): Promise<Harness | undefined> {
    this.#harnessId = harnessId;
    for (;;) {
      const harness = await this.#patiently(() => this.#look(harnessId));
      this.#lastStatus = harness?.status;
      if (harness === undefined || harness.status === 'READY') return harness;
      this.#phase = harness.status === 'DELETING' ? 'deleting' : 'waiting';
      if (!passingStatuses.has(harness.status)) {
        if (isOwn && harness.status === 'CREATE_FAILED') await this.#rollBack(harnessId);
        const why = harness.failureReason === undefined ? '' : `: ${harness.failureReason}`;
        throw this.failed('FAILED_PRECONDITION', `is ${harness.status}${why}`);
      }
      await this.#pause();
    }
  }

  async #look(harnessId: string): Promise<Harness | undefined> {
    const { client, signal } = this.#parts;
    this.#polls += 1;
    try {
      const { harness } = await client.getHarness({ harnessId }, { abortSignal: signal });
      return harnessOf(harness);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** That it failed is told, whatever becomes of this. */
  async #rollBack(harnessId: string): Promise<void> {
    const { client, signal } = this.#parts;
    const input = { harnessId, clientToken: `genkitx-agent-${uuid()}` };
    await this.#patiently(async () => client.deleteHarness(input, { abortSignal: signal })).catch(() => {});
  }

  /** What fails in passing is tried again, some times in a row. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (this.#parts.signal.aborted || tries === maxTries || !isPassing(error)) throw error;
      }
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    const { clock, pollIntervalMs, signal } = this.#parts;
    return pause(clock, pollIntervalMs, signal);
  }
}

const passingStatuses: ReadonlySet<string> = new Set(['CREATING', 'UPDATING', 'DELETING']);

function harnessOf(raw: unknown): Harness | undefined {
  const harness = members(raw);
  return typeof harness.harnessId === 'string' ? (harness as unknown as Harness) : undefined;
}

function provisioned({ arn, harnessId, environment }: Harness): ProvisionedHarness {
  const { agentRuntimeArn } = members(members(environment).agentCoreRuntimeEnvironment);
  return { harnessArn: arn, harnessId, ...(typeof agentRuntimeArn === 'string' ? { agentRuntimeArn } : {}) };
}

function badOption(path: string, expected: string, received: string): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received }]);
}
