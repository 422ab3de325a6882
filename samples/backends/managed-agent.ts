/**
 * A managed agent with local tools: the agent runs at Anthropic, the stock it asks for stays here. With ANTHROPIC_API_KEY in
 * the environment it runs there for real; without it `managed-agents.ts` stands in, behind the same SDK.
 */
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { sessionToolJournal, startSession, type ToolObject } from 'genkitx-agent/backends/tool-loop';
import { claudeManagedAgentsProvider, provisionManagedAgent } from 'genkitx-agent/providers/claude-managed-agents';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';
import { startManagedAgents } from './managed-agents.js';

const item = { type: 'object', properties: { item: { type: 'string' } }, required: ['item'] };
const clerk = {
  name: 'sample-clerk',
  model: 'claude-opus-5-5',
  system: 'You keep the stock of a shop. Look before you answer; answer in one short sentence, with numbers as digits.',
  tools: [
    { type: 'custom', name: 'count', description: 'How many of an item are in stock.', input_schema: item },
    { type: 'custom', name: 'reorder', description: 'Orders ten more of an item.', input_schema: item },
  ],
};

/** Asks the clerk twice; what it wants to know, and to have done, happens here. */
export async function managedAgent(): Promise<void> {
  const isReal = process.env.ANTHROPIC_API_KEY !== undefined;
  const service = isReal ? undefined : await startManagedAgents();
  const client = service === undefined ? new Anthropic() : new Anthropic({ apiKey: 'none', baseURL: service.url });

  // Made the first time; found by what it is ever after.
  const agent = await provisionManagedAgent({ client, agent: clerk });
  assert.deepEqual(await provisionManagedAgent({ client, agent: clerk }), agent);
  const provider = claudeManagedAgentsProvider({ client, ...agent });

  const stock = new Map([['teapots', 3]]);
  const reordered: string[] = [];
  const tools: ToolObject = {
    handleToolCall(name, input) {
      const { item: wanted } = input as { item: string };
      console.log(`clerk      ${name} ${wanted}`);
      if (name === 'count') return { left: stock.get('teapots') };
      reordered.push(wanted);
      return 'ordered';
    },
  };

  // With a store, a process that dies in the middle of an order is no reason to order twice.
  const journal = sessionToolJournal(new MemorySessionStore());
  const session = await startSession(provider, { handler: tools, journal, maxTurns: 10, maxTokens: 100_000 });
  const first = await session.message('How many teapots are left?');
  console.log(`clerk      → ${first.text}`);
  assert.match(first.text, /\b3\b/);
  const second = await session.message('Please reorder teapots.');
  console.log(`clerk      → ${second.text}`);
  assert.equal(second.terminal, 'end_turn');
  assert.equal(reordered.length, 1);
  assert.ok((second.usage?.totalTokens ?? 0) > 0);
  await session.close();
  service?.close();
}
