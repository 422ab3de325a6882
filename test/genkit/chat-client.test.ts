/** What the client of a chat is told while it goes on. */
import type { AgentStreamChunk } from 'genkit/beta';
import { expect, test } from 'vitest';
import { ChatClient } from '../../src/genkit/chat/client.js';
import { CustomPatches } from '../../src/genkit/chat/custom-patches.js';

test('is told each thing in its own member, and nothing once it is let go', () => {
  const told: AgentStreamChunk[] = [];
  const client = new ChatClient((chunk) => void told.push(chunk));
  const tellAll = () => {
    client.turnBegins({ mood: 'calm' });
    client.hear({ content: [{ text: 'hello' }] });
    client.stateIs({ mood: 'calm' });
    client.stateIs({ mood: 'merry' });
    client.artifactIs({ name: 'plan', parts: [] });
    client.turnEnds({ finishReason: 'stop' });
  };
  tellAll();
  client.letGo();
  tellAll();
  expect(told).toEqual([
    { modelChunk: { content: [{ text: 'hello' }] } },
    { customPatch: [{ op: 'replace', path: '', value: { mood: 'merry' } }] },
    { artifact: { name: 'plan', parts: [] } },
    { turnEnd: { finishReason: 'stop' } },
  ]);
});

test('one that is gone disturbs nobody', () => {
  const client = new ChatClient(() => {
    throw new Error('the stream was closed');
  });
  expect(() => client.hear({ content: [] })).not.toThrow();
});

test('the first patch of a turn is the whole, the ones after it are what has changed', () => {
  const patches = new CustomPatches();
  for (const turn of [1, 2]) {
    patches.begin({ turn, steps: 0 });
    expect(patches.next({ turn, steps: 0 })).toBeUndefined();
    expect(patches.next({ turn, steps: 1 })).toEqual([{ op: 'replace', path: '', value: { turn, steps: 1 } }]);
    expect(patches.next({ turn, steps: 2 })).toEqual([{ op: 'replace', path: '/steps', value: 2 }]);
  }
});

test('where a name in the path is one that clients refuse, the whole is sent again', () => {
  const patches = new CustomPatches();
  patches.begin({});
  patches.next({ a: 1 });
  const custom = { a: 1, constructor: 'of houses' };
  expect(patches.next(custom)).toEqual([{ op: 'replace', path: '', value: custom }]);
});
