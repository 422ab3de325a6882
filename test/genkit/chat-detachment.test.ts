/** A run on its way to the background. */
import { expect, test } from 'vitest';
import { Detachment } from '../../src/genkit/chat/detachment.js';
import { decodeSnapshotId } from '../../src/genkit/chat/snapshot-id.js';
import { ChatTasks } from '../../src/genkit/chat/tasks.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { ManualClock } from '../../src/testing/manual-clock.js';

const here = { sessionId: 'mine', version: 2 };
const record = { status: 'completed', version: 3, finishReason: 'stop' } as const;

function detachment() {
  const clock = new ManualClock();
  const tasks = new ChatTasks({ store: new MemorySessionStore({ clock }), clock, leaseTtlMs: 1_000 });
  const one = new Detachment(tasks);
  const detach = async () => {
    const { task = '' } = decodeSnapshotId(await one.begin(here, () => {})) ?? {};
    return { sessionId: 'mine', id: task };
  };
  return { one, tasks, detach };
}

test('is a task from its beginning to the end of the run', async () => {
  const { one, tasks, detach } = detachment();
  expect(one.isDetached).toBe(false);
  const task = await detach();
  expect(one.isDetached).toBe(true);
  expect(await tasks.read(task)).toEqual({ status: 'pending', version: 2 });
  await one.end(record);
  expect(await tasks.read(task)).toEqual(record);
});

test('of a run that ended meanwhile is a task that has ended', async () => {
  const { one, tasks, detach } = detachment();
  await one.end(record);
  expect(one.isDetached).toBe(false);
  expect(await tasks.read(await detach())).toEqual(record);
});
