import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { HostEvent } from '../../src/host/host.js';
import { Screen } from '../../src/terminal/screen.js';
import { Watcher } from '../../src/terminal/watcher.js';
import { settled } from '../host/harness.js';
import { afternoon, sitDown } from './harness.js';

const said = (agent: string, ref: string, text: string): HostEvent => ({
  ...{ type: 'stream.event', agent, at: afternoon, ref, kind: 'text' },
  event: { type: 'text', text },
});
const stopped = (agent: string, ref: string): HostEvent => ({
  ...{ type: 'prompt.stop', agent, at: afternoon, ref, attempt: 1, origin: 'ask', durationMs: 5 },
});

/** A watcher, and what its screen has shown so far. */
function watching(highWaterMark?: number) {
  const output = new PassThrough(highWaterMark === undefined ? {} : { highWaterMark });
  const watcher = new Watcher(new Screen({ input: new PassThrough(), output }), (ref) => ref);
  watcher.watch('everybody');
  return { watcher, shown: () => String(output.read() ?? '') };
}

describe('watching', () => {
  it('shows nothing before it is told to, and counts tokens all the same', () => {
    const { watcher, shown } = watching();
    watcher.watch('nobody');
    const turn = { agent: 'writer', at: 0, ref: 'r', attempt: 1, origin: 'ask', durationMs: 5, costUsd: 0 } as const;
    watcher.hear({ ...turn, type: 'turn.stop', inputTokens: 100, outputTokens: 20 });
    watcher.hear({ ...turn, type: 'turn.error', code: 'TURN_TIMEOUT', inputTokens: 3, outputTokens: 0 });
    expect(shown()).toBe('');
    expect([watcher.tokensOf('writer'), watcher.tokensOf('critic')]).toEqual([123, 0]);
  });

  it('shows what several agents say in whole lines, each behind its name', () => {
    const { watcher, shown } = watching();
    watcher.hear(said('writer', '1', 'Roses are '));
    watcher.hear(said('critic', '2', 'Too\nlong'));
    expect(shown()).toBe('critic | Too\n');
    watcher.hear(said('writer', '1', 'red.\nVio'));
    expect(shown()).toBe('writer | Roses are red.\n');
    watcher.hear(said('writer', '1', 'lets'));
    watcher.hear(stopped('writer', '1'));
    expect(shown()).toBe('writer | Violets\n15:04:05  writer      prompt.stop      1, 5 ms\n');
    watcher.hear(stopped('critic', '2'));
    expect(shown()).toContain('critic | long\n');
  });

  it('breaks what they say so that it fits behind the name', () => {
    const { watcher, shown } = watching();
    watcher.hear(said('an agent with a long name', '1', 'word '.repeat(40)));
    watcher.hear(stopped('an agent with a long name', '1'));
    const lines = shown().trimEnd().split('\n').slice(0, -1);
    expect(lines.map((line) => line.length)).toEqual([78, 78, 78, 38]);
    expect(lines.every((line) => line.startsWith('an agent with a… | word'))).toBe(true);
  });

  it('of what backends do besides, shows the tools they use', () => {
    const { watcher, shown } = watching();
    const at = { type: 'stream.event', agent: 'writer', at: afternoon, ref: 'r' } as const;
    watcher.hear({ ...at, kind: 'session', event: { type: 'session', sessionId: 's' } });
    watcher.hear({ ...at, kind: 'tool_use', event: { type: 'tool_use', id: '1', name: 'grep', input: {} } });
    expect(shown()).toBe('15:04:05  writer      stream.event     r, tool_use, grep\n');
  });

  it('leaves out what nobody reads, and says how much', async () => {
    const { watcher, shown } = watching(60);
    for (let ref = 1; ref <= 9; ref++) watcher.hear(stopped('writer', String(ref)));
    const first = shown();
    expect(first.split('\n').length - 1).toBeLessThan(9);
    await settled();
    watcher.hear(stopped('writer', 'last'));
    const left = 9 - (first.split('\n').length - 1);
    expect(shown()).toMatch(new RegExp(`^\\(${left} lines left out\\)\\n15:04:05 .* last, 5 ms\\n$`));
  });

  it('hears what backends say only from a host that tells content', async () => {
    for (const content of [true, false]) {
      const { host, start, script } = sitDown({}, { content });
      const told: HostEvent[] = [];
      host.observe((event) => void told.push(event));
      await start('writer', ['A poem.']);
      await script('ask writer go');
      const streamed = told.flatMap((event) => (event.type === 'stream.event' ? [event.event.type] : []));
      expect(streamed).toEqual(content ? ['session', 'text', 'result'] : []);
    }
  });
});
