/** One agent, three backends: what the caller sees is the same, whoever answers. */
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { genkit, z } from 'genkit';
import { type Backend, BackendStateSchema, backendHandler, defineAgent } from 'genkitx-agent';
import { anthropicBackend } from 'genkitx-agent/backends/anthropic';
import { claudeCliBackend } from 'genkitx-agent/backends/claude-cli';
import { openaiBackend } from 'genkitx-agent/backends/openai';
import OpenAI from 'openai';
import type { Coder } from './coding-agent.js';
import { startVendors } from './vendors.js';

/** Talks to the same agent over HTTP, over HTTP to another vendor, and through a CLI. */
export async function threeBackends(coder: Coder): Promise<void> {
  const { url, close } = await startVendors();
  const backends: readonly Backend[] = [
    anthropicBackend({ client: new Anthropic({ apiKey: 'none', baseURL: url }), model: 'local' }),
    openaiBackend({ client: new OpenAI({ apiKey: 'none', baseURL: `${url}/v1` }), model: 'local' }),
    claudeCliBackend(coder),
  ];
  const ai = genkit({});
  for (const backend of backends) {
    const agent = defineAgent(
      ai,
      { name: backend.name, inputSchema: z.string(), streamSchema: z.string(), stateSchema: BackendStateSchema },
      backendHandler(backend),
    );
    const connection = agent.streamBidi({});
    const answers: string[] = [];
    for (const input of ['My name is Ada', 'What is my name?']) {
      connection.send(input);
      let answer = '';
      for await (const chunk of connection.receive()) answer += chunk;
      answers.push(answer);
      console.log(`${backend.name.padEnd(10)} ${input} → ${answer}`);
    }
    connection.close();
    const { state, usage } = await connection.output();
    assert.deepEqual(answers, [
      'I have heard "My name is Ada".',
      'Before "What is my name?" I have heard "My name is Ada".',
    ]);
    // The conversation and the tokens are told in one way, too.
    assert.deepEqual(
      state.messages.map(({ role }) => role),
      ['user', 'model', 'user', 'model'],
    );
    assert.deepEqual([usage?.inputTokens, usage?.outputTokens], [24, 16]);
  }
  close();
}
