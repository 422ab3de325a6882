/**
 * Genkit's log, where the telemetry server is away. Genkit tells of every span and line it could not send there in its log,
 * sends that line there as well, which fails and is told, and so on: in dev thousands of lines a second, and a program that
 * hears no SIGTERM. Here such a failure is told once in a while, and no other line is touched.
 */
import { createRequire } from 'node:module';
import { isDevEnv } from 'genkit';
import { logger } from 'genkit/logging';
import { type Clock, systemClock } from '../internal/clock.js';
import { LruMap } from './lru-map.js';

type Line = [message: unknown, metadata?: unknown, error?: unknown];

/** How long the same failure is not told again, in milliseconds. */
const againAfterMs = 60_000;

/** There are only a few ways not to reach a server. */
const rememberedFailures = 20;

/** What Genkit 1.42 says of a span, and of a line of its log, that it could not send; the error comes beside it. */
const report = /^Failed to (save trace [0-9a-f]+|export logs)$/;

let isInstalled = false;

/**
 * Has this process told of an absent telemetry server once in a while, for good; it may be called any number of times.
 * Without a telemetry server nothing is done: outside of dev only the environment names one, in dev Genkit's tools do, at any time.
 *
 * The logger that the application chooses with `logger.init`, before or after, and telemetry of its own are left alone:
 * what is held back never comes to either.
 */
export function tellOfAbsentTelemetryOnce(): void {
  const mayHaveServer = isDevEnv() || process.env.GENKIT_TELEMETRY_SERVER !== undefined;
  if (isInstalled || !mayHaveServer) return;
  isInstalled = true;
  for (const log of loggers()) {
    try {
      const tell = log.error.bind(log);
      log.error = onceInAWhile((...line) => tell(...line));
    } catch {
      // Frozen, or a stand-in of somebody's tests: no reason to refuse an agent.
    }
  }
}

/**
 * Genkit's telemetry is that of the build which was loaded first. In an ESM application that may be the CommonJS one, since
 * some of Genkit's own plugins load it (`@genkit-ai/express`), and it has a logger of its own.
 */
function loggers(): Set<typeof logger> {
  try {
    const required: typeof import('genkit/logging') = createRequire(import.meta.url)('genkit/logging');
    return new Set([logger, required.logger]);
  } catch {
    // Bundled together with Genkit: then there is one.
    return new Set([logger]);
  }
}

/** Lets through what `tell` is given, but a report of Genkit's telemetry only when the same was not told for a minute. */
export function onceInAWhile(tell: (...line: Line) => void, clock: Clock = systemClock): (...line: Line) => void {
  const toldAt = new LruMap<number>(rememberedFailures);
  return (...line) => {
    const failure = failureIn(line);
    if (failure !== undefined) {
      const before = toldAt.get(failure);
      if (before !== undefined && clock.now() - before < againAfterMs) return;
      toldAt.set(failure, clock.now());
    }
    tell(...line);
  };
}

/** What kept Genkit's telemetry from the server, if the line reports that: `ECONNREFUSED` where there is a code, never a text. */
function failureIn([message, error]: Line): string | undefined {
  if (typeof message !== 'string' || !report.test(message) || !(error instanceof Error)) return undefined;
  const { cause } = error;
  if (!(cause instanceof Error)) return error.name;
  return 'code' in cause ? String(cause.code) : cause.name;
}
