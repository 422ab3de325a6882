/**
 * Backends: one agent over three of them, and a coding agent on a CLI. It runs offline: the vendors are a local server
 * (`vendors.ts`) that speaks their wire formats to their own SDKs, and the CLI is a script (`coder.mjs`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Coder, codingAgent } from './coding-agent.js';
import { threeBackends } from './three-backends.js';

const folder = await mkdtemp(join(tmpdir(), 'genkitx-agent-backends-'));
const coder: Coder = {
  command: process.execPath,
  commandArguments: [fileURLToPath(new URL('coder.mjs', import.meta.url))],
  cwd: folder,
  env: { CODER_MEMORY: folder },
};
try {
  await threeBackends(coder);
  await codingAgent(coder);
} finally {
  await rm(folder, { recursive: true, force: true });
}
