/** A trap of Genkit 1.42: where its telemetry server is away, its log feeds itself. Not where there is an agent of ours. */
import { logger } from 'genkit/logging';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { onceInAWhile, tellOfAbsentTelemetryOnce } from '../../src/genkit/telemetry-failures.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { built } from '../support/built.js';
import { refusingPort } from '../support/free-port.js';
import { createSandbox, type Sandbox } from '../support/genkit-sandbox.js';
import { Program } from '../support/program.js';

const minute = 60_000;

/** As Node's `fetch` fails. */
function failedFetch(code?: string): TypeError {
  const cause = Object.assign(new Error('connect'), code === undefined ? {} : { code });
  return new TypeError('fetch failed', { cause });
}

/** What came through of everything that is told. */
function listening(clock = new ManualClock()) {
  const heard: unknown[][] = [];
  return { clock, heard, tell: onceInAWhile((...line) => void heard.push(line), clock) };
}

describe('failures to reach the telemetry server', () => {
  test('are told once, as they are, whatever could not be sent; and again after a minute', () => {
    const { clock, heard, tell } = listening();
    const error = failedFetch('ECONNREFUSED');
    tell('Failed to save trace 0af7', error);
    tell('Failed to export logs', error);
    tell('Failed to save trace 0af8', failedFetch('ECONNREFUSED'));
    expect(heard).toEqual([['Failed to save trace 0af7', error]]);
    clock.advance(minute - 1);
    tell('Failed to export logs', error);
    expect(heard).toHaveLength(1);
    clock.advance(1);
    tell('Failed to export logs', error);
    tell('Failed to export logs', error);
    expect(heard).toEqual([
      ['Failed to save trace 0af7', error],
      ['Failed to export logs', error],
    ]);
  });

  test('of another kind are others', () => {
    const { heard, tell } = listening();
    const kinds = [failedFetch('ECONNREFUSED'), failedFetch('ENOTFOUND'), failedFetch(), new RangeError('circular')];
    for (const error of [...kinds, ...kinds]) tell('Failed to export logs', error);
    expect(heard.map(([, error]) => error)).toEqual(kinds);
  });

  test('are all that is held back', () => {
    const { heard, tell } = listening();
    const error = failedFetch('ECONNREFUSED');
    tell('Failed to export logs', error);
    const others: [unknown, unknown?][] = [
      ['Failed to export logs'],
      ['Failed to export logs', { error }],
      ['Failed to export logs of yesterday', error],
      ['Failed to save trace', error],
      ['Failed to save the order', error],
      [{ message: 'Failed to export logs', error }],
      [error],
    ];
    for (const line of [...others, ...others]) tell(...line);
    expect(heard.slice(1)).toEqual([...others, ...others]);
  });
});

describe('Genkit’s logger', () => {
  test('is let alone where no telemetry server can be', () => {
    const before = logger.error;
    vi.stubEnv('GENKIT_ENV', undefined).stubEnv('GENKIT_TELEMETRY_SERVER', undefined);
    tellOfAbsentTelemetryOnce();
    vi.unstubAllEnvs();
    expect(logger.error).toBe(before);
  });

  test.each([Object.freeze({ error: () => {} }), {}])(
    'is no reason to refuse an agent when it cannot be changed: %j',
    async (stand) => {
      vi.resetModules();
      vi.doMock('genkit/logging', () => ({ logger: stand }));
      vi.stubEnv('GENKIT_ENV', 'dev');
      const { tellOfAbsentTelemetryOnce: tellOnce } = await import('../../src/genkit/telemetry-failures.js');
      expect(tellOnce).not.toThrow();
      vi.unstubAllEnvs().doUnmock('genkit/logging');
    },
  );
});

describe('a program in dev whose telemetry server is away', { timeout: 120_000 }, () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = createSandbox();
  });
  afterAll(() => sandbox.remove());

  const file = built('test/support/fixtures/absent-telemetry.ts');

  /** A server that is away: a port where nobody listens, and one that `fetch` does not even try. */
  const addresses = { 'refuses connections': refusingPort, 'is refused by fetch': 9 };

  function started(kind: 'flow' | 'agent', port: number, first: string[] = []): Program {
    const env = { GENKIT_ENV: 'dev', GENKIT_TELEMETRY_SERVER: `http://127.0.0.1:${port}` };
    const imports = first.flatMap((name) => ['--import', name]);
    return new Program(process.execPath, [...imports, file, kind], { cwd: sandbox.project, env });
  }

  const logOf = ({ output }: Program) => output.split('\n').filter((line) => line.startsWith('log: '));

  describe.each(Object.entries(addresses))('since it %s', (_, port) => {
    test('drowns in its own log with Genkit alone', async () => {
      await using program = started('flow', port);
      program.write('one\n');
      expect(await program.exited).toMatchObject({ code: 3 });
      expect(logOf(program).filter((line) => line === 'log: Failed to export logs').length).toBeGreaterThan(250);
    });

    test.each([
      ['says so once with an agent of ours, answers, keeps its own log, and ends when it is told', []],
      ['also where a plugin has loaded Genkit’s other build first', ['@genkit-ai/express']],
    ])('%s', async (_, first) => {
      await using program = started('agent', port, first);
      program.write('one\n');
      await program.until('log: Failed to ');
      const turns = Array.from({ length: 20 }, (_, turn) => `turn ${turn}`);
      for (const turn of turns) {
        program.write(`${turn}\n`);
        await program.until(`heard ${turn}\n`);
      }
      program.signal('SIGTERM');
      expect(await program.exited).toMatchObject({ code: 0 });
      const [failures, others] = [/Failed to/, /answering/].map((what) => logOf(program).filter((l) => what.test(l)));
      expect(failures).toHaveLength(1);
      expect(others).toEqual(['one', ...turns].map((turn) => `log: answering ${turn}`));
    });
  });
});
