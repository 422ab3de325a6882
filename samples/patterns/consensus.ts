/** Consensus: members vote in rounds, hear what the others said, and the panel ends when enough agree. */
import assert from 'node:assert/strict';
import { scriptedBackend } from 'genkitx-agent/backends/scripted';
import { createAgentHost, defineBehaviour, noreply } from 'genkitx-agent/host';

const member = defineBehaviour({
  init: () => ({ state: { votes: [] as string[] } }),
  handleResponse: (_ref, { text }, { votes }) => noreply({ votes: [...votes, text] }),
});

const host = createAgentHost();
const script = { ada: ['yes', 'yes'], bob: ['no', 'yes'], eve: ['maybe', 'no'] };
for (const [name, turns] of Object.entries(script))
  await host.start(member, { name, backend: scriptedBackend({ turns }) });

type Threshold = 'unanimous' | 'majority' | { readonly atLeast: number };

function needed(threshold: Threshold, members: number): number {
  if (threshold === 'unanimous') return members;
  return threshold === 'majority' ? Math.floor(members / 2) + 1 : threshold.atLeast;
}

/** Answers the verdict, or nothing when there is none after so many rounds. */
async function decide(question: string, names: readonly string[], threshold: Threshold, maxRounds: number) {
  let asked = question;
  for (let round = 1; round <= maxRounds; round++) {
    const votes = await Promise.all(names.map(async (name) => (await host.ask(name, asked)).text));
    const verdict = votes.find((vote) => votes.filter((one) => one === vote).length >= needed(threshold, names.length));
    if (verdict !== undefined) return { verdict, round };
    asked = `${question} The others said: ${votes.join(', ')}.`;
  }
  return undefined;
}

assert.deepEqual(await decide('Ship it?', Object.keys(script), 'majority', 3), { verdict: 'yes', round: 2 });
assert.match((await host.history('ada')).at(-1)?.result ?? '', /yes/);
assert.equal(needed('unanimous', 3), 3);
assert.equal(needed({ atLeast: 1 }, 3), 1);
await host.close();
