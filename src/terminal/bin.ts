#!/usr/bin/env node
/** The bin `genkitx-agent`: `npx genkitx-agent agents.mjs`, or `npm run agents` in this repository. */
import { realpathSync } from 'node:fs';
import { main } from './main.js';

const { stdin, stdout, stderr, argv } = process;

process.exitCode = await main(argv.slice(2), {
  input: stdin,
  output: stdout,
  errors: stderr,
  folder: process.cwd(),
  program: realpathSync(argv[1] ?? '.'),
  exit: () => process.exit(130),
});
// Whatever the module has left open does not keep the process going; what was written is written first.
stdout.write('', () => process.exit());
