/** What does a chunk cost on its way from the handler to the reader? */
import { genkit, z } from 'genkit/beta';
import { defineAgent } from '../src/genkit/define-agent.js';
import { BareQueue } from './support/bare-queue.js';
import { cpuMicros, cpuOf, least } from './support/measure.js';
import { allPaces, type Pace, sendAt } from './support/pace.js';
import { type Answer, atLeast, atMost, count, type Question, short, times } from './support/report.js';

/** Chunks of one turn. */
const sizes = [1_000, 10_000, 50_000, 200_000];
const rounds = 7;
/** A sample is as many turns as it takes to send this many chunks. */
const leastChunks = 50_000;
/** A contestant whose first sample takes longer is not asked again, and sits out the larger sizes. */
const patienceMicros = 800_000;
const chunk = 'a piece of the answer ';

interface Talk {
  readonly pace: Pace;
  readonly chunks: number;
  readonly turns: number;
}

/** Holds a talk and answers the CPU time of all its turns in microseconds. */
type Contestant = (talk: Talk) => Promise<number>;

function bareQueue({ pace, chunks, turns }: Talk): Promise<number> {
  return cpuOf(async () => {
    for (let turn = 0; turn < turns; turn++) {
      const queue = new BareQueue<string>();
      const sent = sendAt(pace, () => queue.send(chunk), chunks).then(() => queue.close());
      let received = 0;
      for await (const _ of queue) received += 1;
      await sent;
      expectAll(received, chunks);
    }
  });
}

/** The connection is open and has answered one empty turn before the clock starts. */
function ours(name: string, streamSchema: z.ZodTypeAny): Contestant {
  const inputSchema = z.object({ pace: z.enum(['awaited', 'in bursts', 'at once']), chunks: z.number() });
  const config = { name, inputSchema, streamSchema };
  const agent = defineAgent(genkit({}), config, async ({ turns, responder }) => {
    await turns(({ pace, chunks }) => sendAt(pace, () => responder.send(chunk), chunks));
    return { output: null };
  });
  return async ({ pace, chunks, turns }) => {
    const connection = agent.streamBidi();
    void connection.send({ pace, chunks: 0 });
    for await (const _ of connection.receive());
    const cost = await cpuOf(async () => {
      for (let turn = 0; turn < turns; turn++) {
        void connection.send({ pace, chunks });
        let received = 0;
        for await (const _ of connection.receive()) received += 1;
        expectAll(received, chunks);
      }
    });
    connection.close();
    await connection.output();
    return cost;
  };
}

const done = Promise.resolve();

/** Its stream cannot be left and entered again, so one loop reads all turns. Its `sendChunk` has nothing to wait for. */
function genkits(): Contestant {
  const agent = genkit({}).defineCustomAgent({ name: 'genkit' }, async (session, { sendChunk }) => {
    const send = () => {
      sendChunk({ modelChunk: { content: [{ text: chunk }] } });
      return done;
    };
    await session.run(async ({ message }) => {
      const talk = message?.content[0]?.data as Talk | undefined;
      if (talk !== undefined) await sendAt(talk.pace, send, talk.chunks);
    });
    return {};
  });
  return async ({ pace, chunks, turns }) => {
    const connection = agent.streamBidi({});
    const ask = (data: unknown) => connection.send({ message: { role: 'user', content: [{ data }] } });
    let start = 0;
    let turn = 0;
    let received = 0;
    ask({ pace, chunks: 0 });
    for await (const { modelChunk, turnEnd } of connection.stream) {
      if (modelChunk !== undefined) received += 1;
      if (turnEnd === undefined) continue;
      if (turn === 0) start = cpuMicros();
      if (turn === turns) break;
      turn += 1;
      ask({ pace, chunks });
    }
    const cost = cpuMicros() - start;
    await connection.output;
    expectAll(received, chunks * turns);
    return cost;
  };
}

function expectAll(received: number, sent: number): void {
  if (received !== sent) throw new Error(`${received} of ${sent} chunks arrived`);
}

const contestants = {
  'bare queue': bareQueue,
  ours: ours('checked', z.string()),
  'ours, no schema': ours('unchecked', z.unknown()),
  'Genkit beta': genkits(),
} satisfies Record<string, Contestant>;

type Name = keyof typeof contestants;
const names = Object.keys(contestants) as Name[];

/** Microseconds per chunk. */
async function sample(name: Name, pace: Pace, size: number): Promise<number> {
  const turns = Math.ceil(leastChunks / size);
  return (await contestants[name]({ pace, chunks: size, turns })) / (size * turns);
}

/** Microseconds per chunk for every contestant, whose samples take turns; `NaN` for those that have lost our patience. */
async function measure(pace: Pace, size: number, tooSlow: Set<Name>): Promise<Record<Name, number>> {
  const samples = Object.fromEntries(names.map((name): [string, number[]] => [name, []]));
  const skipped = new Set(tooSlow);
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      if (skipped.has(name)) continue;
      const micros = await sample(name, pace, size);
      samples[name]?.push(micros);
      if (micros * Math.max(size, leastChunks) <= patienceMicros) continue;
      skipped.add(name);
      tooSlow.add(name);
    }
  }
  return Object.fromEntries(names.map((name) => [name, least(samples[name] ?? [])])) as Record<Name, number>;
}

async function warmUp(): Promise<void> {
  for (const pace of allPaces) for (const name of names) await contestants[name]({ pace, chunks: 2_000, turns: 25 });
}

async function answer(): Promise<Answer> {
  await warmUp();
  const rows: string[][] = [];
  const toBare: number[] = [];
  const toGenkit: number[] = [];
  for (const pace of allPaces) {
    const tooSlow = new Set<Name>();
    for (const size of sizes) {
      const micros = await measure(pace, size, tooSlow);
      const bare = micros.ours / micros['bare queue'];
      const genkits = micros['Genkit beta'] / micros.ours;
      toBare.push(bare);
      if (Number.isFinite(genkits)) toGenkit.push(genkits);
      const cells = names.map((name) => short(micros[name]));
      rows.push([`${pace}, ${count(size)}`, ...cells, times(bare), times(genkits)]);
    }
  }
  return {
    tables: [{ headings: ['µs per chunk', ...names, 'ours / bare', 'Genkit / ours'], rows }],
    goals: [
      atMost('a chunk costs ≤ 5× the bare queue, at every pace and size', 5, Math.max(...toBare)),
      atLeast("and ≥ 4× less than Genkit's, at every pace and size", 4, Math.min(...toGenkit)),
    ],
  };
}

export const chunks: Question = { name: 'chunks', title: '1. A chunk, from the handler to the reader', answer };
