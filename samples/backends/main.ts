/**
 * Backends: one agent over three of them, a coding agent on a CLI, and a managed agent with local tools. It runs offline:
 * the vendors are local servers (`vendors.ts`, `managed-agents.ts`) that speak their wire formats to their own SDKs, and the
 * CLI is a script (`coder.mjs`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Coder, codingAgent } from './coding-agent.js';
import { managedAgent } from './managed-agent.js';
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
  await managedAgent();
} finally {
  await rm(folder, { recursive: true, force: true });
}
