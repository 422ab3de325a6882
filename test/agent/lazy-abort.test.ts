import { describe, expect, it, test } from 'vitest';
import { LazyAbort, withSignal } from '../../src/agent/lazy-abort.js';
import { AgentFlowError } from '../../src/errors.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { echoAgent } from '../support/agents.js';
import { take } from '../support/waiting.js';

const first = new AgentFlowError('RUN_ABORTED', 'first');
const second = new AgentFlowError('RUN_ABORTED', 'second');

describe('an abort', () => {
  it('has one signal, which fires with its reason', () => {
    const abort = new LazyAbort();
    const { signal } = abort;
    expect([signal.aborted, abort.aborted, abort.reason]).toEqual([false, false, undefined]);
    abort.throwIfAborted();
    abort.abort(first);
    expect(abort.signal).toBe(signal);
    expect([signal.reason, abort.reason]).toEqual([first, first]);
    expect(() => abort.throwIfAborted()).toThrow(first);
  });

  it('gives who asks late a signal that has fired', () => {
    const abort = new LazyAbort();
    abort.abort(first);
    expect([abort.signal.aborted, abort.signal.reason]).toEqual([true, first]);
  });

  it('happens once', () => {
    const abort = new LazyAbort();
    const told: unknown[] = [];
    abort.signal.addEventListener('abort', () => told.push(abort.signal.reason));
    abort.abort(first);
    abort.abort(second);
    expect([told, abort.reason]).toEqual([[first], first]);
  });

  it('lets who has to wait listen', () => {
    const abort = new LazyAbort();
    const told: string[] = [];
    const leave = () => told.push('left');
    abort.removeEventListener('abort', leave);
    abort.addEventListener('abort', leave);
    abort.removeEventListener('abort', leave);
    abort.addEventListener('abort', () => told.push('stayed'), { once: true });
    abort.abort(first);
    expect(told).toEqual(['stayed']);
  });
});

describe('an object with a signal', () => {
  it('has it as a property that copies take along, and that everybody sees fire', () => {
    const abort = new LazyAbort();
    const object = withSignal(abort, { name: 'args' });
    const { signal } = object;
    const copy = { ...object };
    expect(Object.keys(object)).toEqual(['signal', 'name']);
    expect([copy.signal, copy.name, Reflect.get(new Proxy(object, {}), 'signal')]).toEqual([signal, 'args', signal]);
    abort.abort(first);
    expect(copy.signal.reason).toBe(first);
  });

  it('makes none for who does not look', () => {
    const made = countControllers(() => {
      const abort = new LazyAbort();
      const { name } = withSignal(abort, { name: 'args' });
      abort.abort(first);
      expect([name, abort.reason]).toEqual(['args', first]);
    });
    expect(made).toBe(0);
  });
});

test.each([
  ['without a store', undefined],
  ['with one', new MemorySessionStore()],
])(
  'a run whose handler does not ask for its signal has none, through its turns and to its end, %s',
  async (_, store) => {
    const made = await countControllers(async () => {
      const connection = echoAgent(store).open();
      void connection.send('a');
      expect(await take(connection.receive(), 2)).toEqual(['a!', 'a?']);
      connection.close();
      await connection.output();
    });
    expect(made).toBe(0);
  },
);

/** How many abort controllers the work makes. */
function countControllers(work: () => void): number;
function countControllers(work: () => Promise<void>): Promise<number>;
function countControllers(work: () => void | Promise<void>): number | Promise<number> {
  const Real = globalThis.AbortController;
  let made = 0;
  globalThis.AbortController = class extends Real {
    constructor() {
      super();
      made += 1;
    }
  };
  const restore = () => {
    globalThis.AbortController = Real;
    return made;
  };
  const done = work();
  return done instanceof Promise ? done.finally(restore).then(() => made) : restore();
}
