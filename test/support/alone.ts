/** The test files that get a process each. All others share a few: most of what a file takes is the loading of Genkit. */
import { readdirSync, readFileSync } from 'node:fs';

/** The files that take longest, longest first: begun last, one of them would keep one core busy and leave the others idle. */
export const longest: readonly string[] = [
  'test/package.test.ts',
  'test/samples/chat.test.ts',
  'test/stores/postgres.test.ts',
  'test/stores/multi-process.test.ts',
  'test/backends/cli-conformance.test.ts',
  'test/samples/samples.test.ts',
  'test/readme.test.ts',
  'test/stores/postgres/saves.test.ts',
  'test/agent/attach-processes.test.ts',
  'test/stores/redis.test.ts',
  'test/stores/postgres/tables.test.ts',
  'test/genkit/from-genkit-store.test.ts',
  'test/genkit/telemetry-failures.test.ts',
  'test/stores/fairness.test.ts',
  'test/terminal/bin.test.ts',
  'test/support/genkit-cli.test.ts',
];

/** What changes all of a process: its timers, its modules, its environment, where its traces go, */
const tools = /\bvi\.(useFakeTimers|mock|doMock|stubEnv|stubGlobal|resetModules)\b|@opentelemetry\/sdk-/;
/** its listeners, and what everybody calls. */
const globals =
  /\bprocess\.(on|once|emit|chdir)\(|\bglobalThis\.\w+ = |\bspyOn\((console|process|globalThis|\w+\.prototype)\b/;

/** The files that change what belongs to all of a process, so that none that comes after would find it as it was. */
export function meddling(): string[] {
  const names = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  const files = names.map((name) => `test/${name.replaceAll('\\', '/')}`);
  return files.filter((file) => {
    const text = readFileSync(file, 'utf8');
    return tools.test(text) || globals.test(text);
  });
}
