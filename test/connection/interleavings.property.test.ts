/** Readers, watchers and a producer in any order, against what each must have seen in the end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outbox } from '../../src/connection/outbox.js';
import { AgentFlowError } from '../../src/errors.js';
import { quiet } from '../support/waiting.js';

/** A chunk knows which turn it belongs to. */
interface Chunk {
  readonly index: number;
  readonly turn: number;
}

type Answer = { readonly chunk?: Chunk; readonly done?: true; readonly error?: unknown };

interface Reader {
  readonly iterator: AsyncIterableIterator<Chunk>;
  readonly answers: (Answer | undefined)[];
}

type Step =
  | { readonly do: 'send' | 'endTurn' | 'failTurn' | 'open' | 'watch' | 'quiet' | 'awaitOutput' | 'closeInput' }
  | { readonly do: 'read' | 'leave' | 'watchOn'; readonly who: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>({ do: 'send' }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), who: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'endTurn' }, { do: 'failTurn' }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'open' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'watch' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('watchOn' as const), who: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'quiet' }) },
);
const drain: fc.Arbitrary<Step> = fc.constantFrom<Step>({ do: 'awaitOutput' }, { do: 'closeInput' });

class Play {
  readonly box: Outbox<Chunk>;
  readonly sent: Chunk[] = [];
  readonly turnErrors: (AgentFlowError | undefined)[] = [];
  readonly readers: Reader[] = [];
  readonly watchers: { seen: Chunk[]; ended: boolean }[] = [];

  constructor(maxBufferedChunks: number) {
    this.box = new Outbox<Chunk>('run', { maxBufferedChunks, replayChunks: 10_000 });
  }

  async take(one: Step): Promise<void> {
    const who = 'who' in one ? one.who : 0;
    if (one.do === 'send') this.#send();
    else if (one.do === 'endTurn' || one.do === 'failTurn') this.#endTurn(one.do === 'failTurn');
    else if (one.do === 'open') this.readers.push({ iterator: this.box.receive(), answers: [] });
    else if (one.do === 'read') this.read(this.readers[who % Math.max(1, this.readers.length)]);
    else if (one.do === 'leave') void this.readers[who % Math.max(1, this.readers.length)]?.iterator.return?.();
    else if (one.do === 'watch' || one.do === 'watchOn') this.#watch(one.do === 'watchOn' ? who : undefined);
    else if (one.do === 'awaitOutput') this.box.awaitOutput();
    else if (one.do === 'closeInput') this.box.closeInput();
    else await quiet();
  }

  read(reader: Reader | undefined): void {
    if (reader === undefined) return;
    const slot = reader.answers.push(undefined) - 1;
    reader.iterator.next().then(
      ({ value, done }) => {
        reader.answers[slot] = done ? { done } : { chunk: value };
      },
      (error: unknown) => {
        reader.answers[slot] = { error };
      },
    );
  }

  #send(): void {
    const chunk = { index: this.sent.length, turn: this.turnErrors.length };
    this.sent.push(chunk);
    void this.box.send(chunk);
  }

  #endTurn(fails: boolean): void {
    const error = fails ? new AgentFlowError('HANDLER_FAILED', `turn ${this.turnErrors.length}`) : undefined;
    this.turnErrors.push(error);
    this.box.endTurn(false, error);
    this.box.startTurn(this.turnErrors.length, 1);
  }

  #watch(chunks: number | undefined): void {
    const watcher = { seen: [] as Chunk[], ended: false };
    this.watchers.push(watcher);
    const watch = async () => {
      // Some go away and come back with the last cursor they saw.
      let after: { run: string; turn: number; seq: number; attempt: number } | undefined;
      for (let rest = chunks; rest !== undefined && rest > 0; rest--) {
        const iterator = this.box.watch(after === undefined ? {} : { after });
        const { value, done } = await iterator.next();
        await iterator.return?.();
        if (done) break;
        after = value.cursor;
        if (value.type === 'chunk') watcher.seen.push(value.chunk);
      }
      for await (const event of this.box.watch(after === undefined ? {} : { after })) {
        if (event.type === 'chunk') watcher.seen.push(event.chunk);
      }
    };
    void watch().finally(() => {
      watcher.ended = true;
    });
  }

  /** Ends the run and reads what is left. */
  async end(): Promise<void> {
    this.box.end();
    for (let turn = 0; turn <= this.turnErrors.length + 1; turn++) {
      const reader: Reader = { iterator: this.box.receive(), answers: [] };
      this.readers.push(reader);
      for (;;) {
        this.read(reader);
        await quiet();
        if (reader.answers.at(-1)?.chunk === undefined) break;
      }
    }
    await quiet();
  }
}

function chunksOf({ answers }: Reader): Chunk[] {
  return answers.flatMap((answer) => (answer?.chunk === undefined ? [] : [answer.chunk]));
}

describe('readers and watchers in any order', () => {
  const play = async (bound: number, steps: readonly Step[], mayDrop: boolean) => {
    const all = new Play(bound);
    for (const one of steps) await all.take(one);
    await all.end();
    const read = all.readers.flatMap(chunksOf);
    expect(new Set(read).size, 'nothing twice').toBe(read.length);
    if (!mayDrop) expect(read.length, 'nothing lost').toBe(all.sent.length);
    for (const reader of all.readers) {
      const chunks = chunksOf(reader);
      expect(reader.answers, 'nothing pending').not.toContain(undefined);
      expect(chunks, 'in order').toEqual([...chunks].sort((a, b) => a.index - b.index));
      expect(new Set(chunks.map(({ turn }) => turn)).size, 'of one turn').toBeLessThanOrEqual(1);
      const ends = reader.answers.findIndex((answer) => answer?.chunk === undefined);
      const rest = ends < 0 ? [] : reader.answers.slice(ends + 1);
      expect(
        rest.every((answer) => answer?.done),
        'done stays done',
      ).toBe(true);
      for (const { error } of reader.answers.map((answer) => answer ?? {})) {
        const [first] = chunks;
        if (error !== undefined && first !== undefined) expect(error).toBe(all.turnErrors[first.turn]);
      }
    }
    for (const { seen, ended } of all.watchers) {
      expect(ended).toBe(true);
      expect(seen, 'watchers see all').toEqual(all.sent);
    }
  };

  it('every chunk goes to one reader, in order and within its turn; every watcher sees all', async () => {
    const property = fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 80, size: 'max' }),
      (bound, steps) => play(bound, steps, false),
    );
    await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 120) });
  });

  it('no order of reading and waiting for the output delivers a chunk twice or leaves anybody waiting', async () => {
    const steps = fc.array(fc.oneof({ weight: 20, arbitrary: step }, { weight: 2, arbitrary: drain }), {
      maxLength: 80,
      size: 'max',
    });
    const property = fc.asyncProperty(fc.integer({ min: 1, max: 4 }), steps, (bound, all) => play(bound, all, true));
    await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 120) });
  });
});
