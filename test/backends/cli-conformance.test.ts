/** The public suite over the CLI backends, each with a scripted executable in the place of its CLI. */
import { describe, test } from 'vitest';
import type { Backend } from '../../src/backends/backend.js';
import { claudeCliBackend } from '../../src/backends/claude-cli.js';
import { codexCliBackend } from '../../src/backends/codex-cli.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { type CliPlay, ScriptedCli } from '../support/scripted-cli.js';

const backends = { claude: claudeCliBackend, codex: codexCliBackend } as const;

describe.each(['claude', 'codex'] as const)('%s', (kind) => {
  describe.each([false, true])('with output split at every byte: %s', (bytewise) => {
    testBackend({
      test,
      async create() {
        const cli = await ScriptedCli.start(kind);
        const { command, commandArguments } = cli;
        return {
          backend: backends[kind]({ command, commandArguments }) as Backend,
          play: (turn) => cli.play({ ...turn, bytewise } satisfies CliPlay),
          asked: () => cli.asked(),
          working: () => cli.working(),
          dispose: () => cli[Symbol.asyncDispose](),
        };
      },
    });
  });
});
