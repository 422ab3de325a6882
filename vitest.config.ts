import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type Reporter, type TestModule, type TestSequencer, type Vitest } from 'vitest/node';
import { longest, meddling } from './test/support/alone.js';

/** Ends a run with one plain line: "N passed, N failed, N skipped". */
export const closingLine: Reporter = {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      // What fails outside a test (loading a file, a hook) counts as a failure of its own.
      counts.failed += module.errors().length;
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== 'pending') counts[state] += 1;
      }
    }
    process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  },
};

const alone = [...longest, ...meddling()];

/** Vitest's own order, after the files that take longest. */
class LongestFirst implements TestSequencer {
  readonly #usual: BaseSequencer;

  constructor(vitest: Vitest) {
    this.#usual = new BaseSequencer(vitest);
  }

  shard: TestSequencer['shard'] = (files) => this.#usual.shard(files);

  sort: TestSequencer['sort'] = async (files) => {
    const usual = await this.#usual.sort(files);
    const place = (id: string) => {
      const found = longest.findIndex((path) => id.endsWith(`/${path}`));
      return found < 0 ? longest.length : found;
    };
    return usual.sort((a, b) => place(a.moduleId) - place(b.moduleId));
  };
}

const common = {
  pool: 'forks',
  // Bounds for what hangs, far from what anything takes: a machine that is slow or busy fails nothing.
  testTimeout: 60_000,
  hookTimeout: 60_000,
  expect: { poll: { timeout: 20_000 } },
} as const;
const resolve = { tsconfigPaths: true };

export default defineConfig({
  test: {
    globalSetup: 'test/support/build-once.ts',
    // By default one core is left idle, which on two cores is half of them; most tests wait more than they compute.
    maxWorkers: Math.max(2, availableParallelism()),
    sequence: { sequencer: LongestFirst },
    reporters: ['default', closingLine],
    projects: [
      {
        resolve,
        test: {
          ...common,
          name: 'alone',
          include: alone,
          // `npm run typecheck` checks all files; to check them here too would double what that takes.
          typecheck: { enabled: true, include: ['test/types/*.test-d.ts'], tsconfig: 'test/types/tsconfig.json' },
        },
      },
      {
        resolve,
        test: {
          ...common,
          name: 'together',
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: [...alone, 'test/torture/**'],
        },
      },
    ],
  },
});
