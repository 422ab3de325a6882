import { defineConfig } from 'vitest/config';
import { closingLine } from './vitest.config.js';

/** How long the whole of a torture file may go on; the files read the same variable to bound themselves. */
const seconds = Number(process.env.TORTURE_SECONDS ?? 60);

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    include: ['test/torture/**/*.test.ts'],
    env: { TORTURE_SECONDS: String(seconds) },
    globalSetup: 'test/support/build-once.ts',
    pool: 'forks',
    // One at a time: each is meant to have the machine to itself.
    fileParallelism: false,
    // Ends what hangs. On a machine that is busy with other things dozens of processes take minutes to start.
    testTimeout: (seconds + 240) * 1000,
    hookTimeout: 60_000,
    reporters: ['default', closingLine],
  },
});
