/**
 * Several callers, one session: a page that is open twice, a retry, a second server. By default the second waits for the
 * first, so four turns sent at once are four turns in the session. It can also be refused, or take the session over.
 */
import assert from 'node:assert/strict';
import { genkit, z } from 'genkit';
import { type AgentFlowError, defineAgent } from 'genkitx-agent';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';

const counter = defineAgent(
  genkit({}),
  {
    name: 'counter',
    inputSchema: z.string(),
    streamSchema: z.string(),
    stateSchema: z.object({ turns: z.array(z.string()) }),
    initialState: { turns: [] },
    store: new MemorySessionStore(),
  },
  async ({ session, responder, turns }) => {
    await turns(async (input) => {
      await responder.send(`after ${session.state.turns.length} turns: ${input}`);
      await session.updateState((state) => void state.turns.push(input));
    });
    return { output: undefined };
  },
);

const sessionId = 'shared';

// Four at once. Each connection has the session for itself; none of them knows of the others.
const inputs = ['one', 'two', 'three', 'four'];
await Promise.all(inputs.map((input) => counter.run(input, { sessionId })));
const afterFour = (await counter.sessions.get(sessionId))?.state.turns ?? [];
assert.deepEqual([...afterFour].sort(), [...inputs].sort());

// `reject`: to be told rather than to wait.
const first = counter.streamBidi({ sessionId });
first.send('five');
for await (const chunk of first.receive()) assert.equal(chunk, 'after 4 turns: five');
await assert.rejects(counter.run('six', { sessionId, onBusySession: 'reject' }), { code: 'SESSION_BUSY' });

// `takeover`: the last one wins, and nothing of the first one's reaches the session any more.
const second = counter.streamBidi({ sessionId, onBusySession: 'takeover' });
second.send('seven');
for await (const chunk of second.receive()) assert.equal(chunk, 'after 5 turns: seven');
const { error } = await first.done;
assert.equal(error?.code, 'LEASE_LOST');
assert.throws(
  () => first.send('eight'),
  (refusal: AgentFlowError) => refusal.code === 'CONNECTION_CLOSED',
);

// Watchers take nothing away from the reader. Each sees every chunk once, from the beginning of the run, however late it comes.
second.send('nine');
for await (const chunk of second.receive()) assert.equal(chunk, 'after 6 turns: nine');
const watched = counter.watch(sessionId);
second.close();
const seen: string[] = [];
for await (const event of watched) if (event.type === 'chunk') seen.push(event.chunk);
assert.deepEqual(seen, ['after 5 turns: seven', 'after 6 turns: nine']);

const { state } = await second.output();
assert.deepEqual(state.turns, [...afterFour, 'five', 'seven', 'nine']);
console.log(state.turns.join(', '));
