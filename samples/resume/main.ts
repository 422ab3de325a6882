/**
 * Which session a connection gets: by its id, from the past, or as a copy. And how an input that is sent twice, because
 * nobody knows whether the first time arrived, is still only run once.
 */
import assert from 'node:assert/strict';
import { genkit, z } from 'genkit';
import { defineAgent } from 'genkitx-agent';
import { MemorySessionStore } from 'genkitx-agent/stores/memory';

const diary = defineAgent(
  genkit({}),
  {
    name: 'diary',
    inputSchema: z.string(),
    stateSchema: z.object({ lines: z.array(z.string()) }),
    initialState: { lines: [] },
    store: new MemorySessionStore(),
  },
  async ({ session, turns }) => {
    await turns((line) => session.updateState(({ lines }) => void lines.push(line)));
    return { output: session.version };
  },
);

// No id: a new session under a new id. `run` is `streamBidi`, `send`, `close` and `output` in one.
const monday = await diary.run(['woke up', 'went to work']);
assert.deepEqual(monday.state.lines, ['woke up', 'went to work']);

// A known id: the session goes on, and `init` is ignored.
const { sessionId } = monday;
const evening = await diary.run('came home', { sessionId, init: { lines: ['never seen'] } });
assert.deepEqual(evening.state.lines, ['woke up', 'went to work', 'came home']);

// An unknown id: a new session under this id, beginning with `init`.
const mine = await diary.run('dear diary', { sessionId: 'my-diary', init: { lines: ['private!'] } });
assert.equal(mine.sessionId, 'my-diary');
assert.deepEqual(mine.state.lines, ['private!', 'dear diary']);

// Every save is a version, 1 being the session as it was created. Going back to one makes it the newest again:
// what came after it is not lost, it is version 4 of 5 now.
const other = await diary.run('stayed in bed', { sessionId, version: 2 });
assert.deepEqual(other.state.lines, ['woke up', 'stayed in bed']);
assert.equal(other.output, 5);
assert.deepEqual((await diary.sessions.get(sessionId, { version: 4 }))?.state.lines, evening.state.lines);

// A fork is a session of its own that remembers where it came from.
const copy = await diary.sessions.fork(sessionId, { version: 4, sessionId: 'monday-again' });
await diary.run('went out', { sessionId: copy });
assert.deepEqual((await diary.sessions.get(copy))?.state.lines.at(-1), 'went out');
assert.deepEqual((await diary.sessions.get(copy))?.parent, { sessionId, version: 4 });
assert.deepEqual((await diary.sessions.get(sessionId))?.state.lines, other.state.lines);

// An input with an id is accepted once per session, whoever sends it and however often.
const connection = diary.streamBidi({ sessionId: copy });
const first = await connection.send('paid the rent', { id: 'rent-may' });
const second = await connection.send('paid the rent', { id: 'rent-may' });
assert.deepEqual(second, { ...first, duplicate: true });
connection.close();
const { state } = await connection.output();
assert.equal(state.lines.filter((line) => line === 'paid the rent').length, 1);

const { sessions } = await diary.sessions.list();
assert.deepEqual(
  sessions.map(({ id }) => id),
  [sessionId, 'my-diary', 'monday-again'],
);
console.log(
  `${sessions.length} sessions: ${sessions.map(({ id, version }) => `${id} at version ${version}`).join(', ')}`,
);
