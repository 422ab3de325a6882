/**
 * What Google's plugins know of a request that failed. `@genkit-ai/google-genai` keeps Google's answer in `detail` and
 * calls most of its statuses `UNKNOWN`; `@genkit-ai/googleai` keeps the status and Google's details as fields. Of an answer
 * that is no JSON, as a proxy gives it, and of a connection that fails, nothing is left but the plugins' own sentence.
 */
import { type BackendFailure, type FailureKind, failure, kindOfStatus } from '../backends/failure.js';

type Facts = Readonly<Record<string, unknown>>;

/** What of a failure Google's plugins tell apart; undefined where there is nothing to be told. */
export function googleRefusal(thrown: unknown): Partial<BackendFailure> | undefined {
  const error = members(thrown);
  const answer = members(members(error.detail).error);
  const [isAboutFetching, statusInSentence] = fetchSentence.exec(String(error.message)) ?? [];
  const status = httpStatus(answer.code) ?? httpStatus(error.status) ?? httpStatus(Number(statusInSentence));
  const details = [answer.details, error.errorDetails].flatMap((list) =>
    Array.isArray(list) ? list.map(members) : [],
  );
  const kind = kindOf(status, details, isAboutFetching !== undefined, String(error.message));
  if (kind === undefined) return undefined;
  const { retryable } = failure('', kind, '');
  const retryAfterMs = retryDelayMs(details);
  return {
    kind,
    retryable,
    ...(status === undefined ? {} : { status }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

const fetchSentence = /(?:Error fetching|Failed to fetch) from \S+: (?:\[(\d{3})\b)?/;

/** Both plugins say so, and no more, of a prompt that Gemini blocked: its answer has no candidates. */
const blockedPrompt = /\bNo valid candidates returned\.$/;

function kindOf(
  status: number | undefined,
  details: readonly Facts[],
  isAboutFetching: boolean,
  message: string,
): FailureKind | undefined {
  // Google answers a wrong key with 400.
  if (details.some(({ reason }) => reason === 'API_KEY_INVALID')) return 'authentication';
  if (status !== undefined) return kindOfStatus(status);
  if (blockedPrompt.test(message)) return 'refused';
  return isAboutFetching ? 'network' : undefined;
}

/** `retryDelay` of `google.rpc.RetryInfo`: seconds as a decimal fraction, followed by an `s`. */
function retryDelayMs(details: readonly Facts[]): number | undefined {
  const [, seconds] =
    details.map(({ retryDelay }) => /^(\d+(?:\.\d+)?)s$/.exec(String(retryDelay))).find(Boolean) ?? [];
  return seconds === undefined ? undefined : Math.ceil(Number(seconds) * 1_000);
}

function httpStatus(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 400 && value < 600 ? value : undefined;
}

function members(value: unknown): Facts {
  return typeof value === 'object' && value !== null ? (value as Facts) : {};
}
