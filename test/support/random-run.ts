/** A whole run with many callers, played step by step in an order that a test chooses, and what came of it. */
import fc from 'fast-check';
import type { SendReceipt } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import type { Turn } from '../../src/agent/agent.js';
import type { SendPolicy, WatchEvent } from '../../src/connection/connection.js';
import type { SessionStore } from '../../src/session/store.js';
import { testAgent } from './agents.js';
import { UnsteadyStore } from './unsteady-store.js';
import { quiet } from './waiting.js';

/** What the agent is to do with an input. */
export interface Task {
  readonly label: string;
  readonly chunks: number;
  readonly awaits: boolean;
  readonly fails: boolean;
  readonly listens: boolean;
  readonly obeys: boolean;
}

/** What one caller does next. */
export type Move =
  | {
      readonly do: 'send';
      readonly policy: SendPolicy;
      readonly id: number | undefined;
      readonly task: Omit<Task, 'label'>;
    }
  | { readonly do: 'read' | 'watch'; readonly chunks: number }
  | { readonly do: 'output' | 'close' | 'abort' };

const task = fc.record({
  chunks: fc.nat(4),
  awaits: fc.boolean(),
  fails: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
  listens: fc.boolean(),
  obeys: fc.boolean(),
});

const send = fc.record({
  do: fc.constant('send' as const),
  policy: fc.constantFrom<SendPolicy>('queue', 'queue', 'steer', 'interrupt', 'reject'),
  id: fc.option(fc.nat(6), { nil: undefined }),
  task,
});

/** The moves of all callers. `canEnd` adds closing and aborting. */
export function moves(canEnd: boolean): fc.Arbitrary<Move[]> {
  const others: fc.Arbitrary<Move>[] = [
    fc.record({ do: fc.constantFrom('read' as const, 'watch' as const), chunks: fc.nat(5) }),
    fc.constant<Move>({ do: 'output' }),
  ];
  const ends = fc.constantFrom<Move>({ do: 'close' }, { do: 'abort' });
  const move = fc.oneof({ weight: 8, arbitrary: send }, ...others.map((arbitrary) => ({ weight: 3, arbitrary })), {
    weight: canEnd ? 1 : 0,
    arbitrary: ends,
  });
  return fc.array(move, { minLength: 1, maxLength: 25, size: 'max' });
}

/** The fate of one send. */
export interface Sent {
  readonly task: Task;
  readonly id: string | undefined;
  receipt?: SendReceipt;
  error?: unknown;
}

/** Everything that was seen of a run. */
export interface Story {
  readonly sends: Sent[];
  /** Labels in the order their turns ran, also those that were interrupted before they began. */
  readonly ran: string[];
  readonly steered: string[];
  readonly said: number[];
  readonly read: number[][];
  readonly watched: WatchEvent<number>[][];
  pending: number;
}

/** Steps that wait to be taken: store calls, and moments at which a handler pauses. */
class Steps {
  readonly #waiting: (() => void)[] = [];

  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get count(): number {
    return this.#waiting.length;
  }

  take(which: number): void {
    this.#waiting.splice(which % this.#waiting.length, 1)[0]?.();
  }
}

/** Plays the moves; `order` says which of the things that could happen next happens. */
export async function play(all: readonly Move[], order: readonly number[], inner: SessionStore | undefined) {
  const story: Story = { sends: [], ran: [], steered: [], said: [], read: [], watched: [], pending: 0 };
  const steps = new Steps();
  const store = inner && new UnsteadyStore(inner);
  if (store !== undefined) store.before = () => steps.next();
  const agent = randomAgent(story, steps, store);
  const conn = agent.open({ sessionId: 's' });
  let turn = 0;
  const choose = () => order[turn++ % order.length] ?? 0;
  const rest = [...all];
  const track = (work: Promise<unknown>) => {
    story.pending += 1;
    const over = () => {
      story.pending -= 1;
    };
    work.then(over, over);
  };
  const move = (next: Move) => {
    if (next.do === 'send') sendOne(story, conn, next, track);
    else if (next.do === 'read') track(readSome(story, conn.receive(), next.chunks));
    else if (next.do === 'watch') track(watchAll(story, conn.watch()));
    else if (next.do === 'output') track(conn.output());
    else if (next.do === 'close') conn.close();
    else conn.abort('enough');
  };
  while (rest.length > 0) {
    const which = choose() % (rest.length + steps.count);
    const next = which < rest.length ? rest.shift() : undefined;
    if (next === undefined) steps.take(which);
    else move(next);
    if (choose() % 3 === 0) await quiet();
  }
  track(conn.output());
  conn.close();
  const end = await untilDone(conn.done, steps, choose);
  await quiet();
  if (store !== undefined) store.before = () => {};
  return { story, end, sessions: agent.sessions };
}

async function untilDone<T>(done: Promise<T>, steps: Steps, choose: () => number): Promise<T> {
  let end: T | undefined;
  void done.then((value) => {
    end = value;
  });
  for (let idle = 0; idle < 3; idle++) {
    await quiet();
    while (steps.count > 0) {
      idle = 0;
      steps.take(choose());
      if (choose() % 3 === 0) await quiet();
    }
    if (end !== undefined && idle > 0) return end;
  }
  throw new Error('the run hangs: nothing can happen any more');
}

function randomAgent(story: Story, steps: Steps, store: SessionStore | undefined) {
  const inputSchema = z.custom<Task>();
  const stateSchema = z.object({ done: z.array(z.string()).default([]) });
  const config = { inputSchema, stateSchema, streamSchema: z.number(), maxBufferedChunks: 2, abortGraceMs: 0 };
  return testAgent({ ...config, ...(store === undefined ? {} : { store }) }, async ({ turns, responder, session }) => {
    const work = async (next: Task, turn: Turn<Task>) => {
      story.ran.push(next.label);
      if (next.listens) turn.onSteer(({ label }) => story.steered.push(label));
      for (let chunk = 0; chunk < next.chunks; chunk++) {
        if (next.obeys && turn.signal.aborted) break;
        story.said.push(story.said.length);
        const sent = responder.send(story.said.length - 1);
        if (next.awaits) await sent;
        await steps.next();
      }
      await session.updateState((draft) => {
        draft.done.push(next.label);
      });
      if (next.fails) throw new TypeError(next.label);
    };
    await turns(
      async (next, turn) => {
        const before = story.said.length;
        try {
          await work(next, turn);
        } catch (error) {
          // What was refused was not said.
          if (story.said.length > before && (error as { code?: string }).code === 'TURN_INTERRUPTED') story.said.pop();
          throw error;
        }
      },
      {
        onInterrupt: ({ input }) => {
          if (story.ran.at(-1) !== input.label) story.ran.push(input.label);
        },
      },
    );
    return { output: null };
  });
}

type Conn = ReturnType<ReturnType<typeof randomAgent>['open']>;

function sendOne(
  story: Story,
  conn: Conn,
  { policy, id, task: facts }: Extract<Move, { do: 'send' }>,
  track: (work: Promise<unknown>) => void,
): void {
  const sent: Sent = {
    task: { ...facts, label: `input ${story.sends.length}` },
    id: id === undefined ? id : `id ${id}`,
  };
  story.sends.push(sent);
  try {
    const receipt = conn.send(sent.task, { policy, ...(sent.id === undefined ? {} : { id: sent.id }) });
    track(receipt);
    receipt.then(
      (value) => {
        sent.receipt = value;
      },
      (error) => {
        sent.error = error;
      },
    );
  } catch (error) {
    sent.error = error;
  }
}

async function readSome(story: Story, source: AsyncIterable<number>, count: number): Promise<void> {
  const chunks: number[] = [];
  story.read.push(chunks);
  for await (const chunk of source) {
    chunks.push(chunk);
    if (chunks.length >= count) break;
  }
}

async function watchAll(story: Story, source: AsyncIterable<WatchEvent<number>>): Promise<void> {
  const events: WatchEvent<number>[] = [];
  story.watched.push(events);
  for await (const event of source) events.push(event);
}
