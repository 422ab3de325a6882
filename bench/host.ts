/** What does a named agent cost: to keep, to ask, by the hundred thousand, and with a long queue? */
import type { Backend } from '../src/backends/backend.js';
import { type AgentHost, createAgentHost, defineBehaviour, noreply } from '../src/host/host.js';
import { cpuMicros, exponent, heapInUse, medianOf } from './support/measure.js';
import { type Answer, atMost, count, type Question, short } from './support/report.js';

const kilobyte = 1_024;
const idleAgents = 20_000;
const asks = 20_000;
const fleets = [10_000, 100_000] as const;
const mailboxes = [10_000, 100_000] as const;

/** Answers at once, with nothing. */
const noop: Backend = {
  name: 'noop',
  startSession: () => undefined,
  prompt: (session) => ({
    session,
    events: {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: { type: 'result', text: '' } }) }),
    },
  }),
  terminateSession: () => {},
};

const plain = defineBehaviour({
  init: () => ({ state: 0 }),
  handleResponse: (_ref, _response, state) => noreply(state + 1),
});

async function fleet(host: AgentHost, size: number): Promise<readonly string[]> {
  const names = Array.from({ length: size }, (_, index) => `agent-${index}`);
  for (const name of names) await host.start(plain, { name, backend: noop });
  return names;
}

async function bytesPerIdleAgent(): Promise<number> {
  const host = createAgentHost();
  await fleet(host, 100);
  const before = await heapInUse();
  const more = createAgentHost();
  await fleet(more, idleAgents);
  const bytes = ((await heapInUse()) - before) / idleAgents;
  await Promise.all([host.close(), more.close()]);
  return bytes;
}

async function microsPerAsk(): Promise<number> {
  const host = createAgentHost();
  await host.start(plain, { name: 'a', backend: noop });
  for (let asked = 0; asked < 2_000; asked++) await host.ask('a', 'x');
  const micros = await medianOf(5, async () => {
    const start = cpuMicros();
    for (let asked = 0; asked < asks; asked++) await host.ask('a', 'x');
    return (cpuMicros() - start) / asks;
  });
  await host.close();
  return micros;
}

/** Starting them and asking each once. */
async function costOfFleet(size: number): Promise<number> {
  const start = cpuMicros();
  const host = createAgentHost();
  const names = await fleet(host, size);
  await Promise.all(names.map((name) => host.ask(name, 'x')));
  const micros = cpuMicros() - start;
  await host.close();
  return micros;
}

/** Telling, and waiting until the last one is answered. */
async function costOfMailbox(size: number): Promise<number> {
  const host = createAgentHost();
  const bounds = { maxPendingPrompts: size, maxPendingPromptBytes: Infinity };
  await host.start(plain, { name: 'a', backend: noop, ...bounds });
  await host.halt('a');
  const start = cpuMicros();
  let last = '';
  for (let told = 0; told < size; told++) last = await host.tell('a', 'x');
  const answered = host.await('a', last);
  await host.resume('a');
  await answered;
  const micros = cpuMicros() - start;
  await host.close();
  return micros;
}

async function answer(): Promise<Answer> {
  const bytes = await bytesPerIdleAgent();
  const micros = await microsPerAsk();
  const fleetCosts: { size: number; cost: number }[] = [];
  for (const size of fleets) fleetCosts.push({ size, cost: await medianOf(1, () => costOfFleet(size)) });
  const mailboxCosts: { size: number; cost: number }[] = [];
  for (const size of mailboxes) mailboxCosts.push({ size, cost: await medianOf(1, () => costOfMailbox(size)) });
  const [smallFleet, largeFleet] = fleetCosts;
  const [smallBox, largeBox] = mailboxCosts;
  const row = (what: string, costs: readonly { size: number; cost: number }[]) => [
    what,
    ...costs.map(({ size, cost }) => `${short(cost / size)} (${count(size)})`),
  ];
  return {
    tables: [
      {
        headings: ['µs each', 'few', 'many'],
        rows: [row('agents started and asked once', fleetCosts), row('tells through one mailbox', mailboxCosts)],
      },
    ],
    goals: [
      atMost('an idle named agent holds ≤ 2 KB', 2, bytes / kilobyte, ' KB'),
      atMost('an ask to a no-op backend takes ≤ 50 µs', 50, micros, ' µs'),
      atMost(
        '100,000 agents, each asked once, grow with an exponent ≤ 1.1',
        1.1,
        smallFleet && largeFleet ? exponent(smallFleet, largeFleet) : Number.NaN,
        '',
      ),
      atMost(
        'a mailbox of 100,000 tells drains with an exponent ≤ 1.1',
        1.1,
        smallBox && largeBox ? exponent(smallBox, largeBox) : Number.NaN,
        '',
      ),
    ],
  };
}

export const host: Question = { name: 'host', title: 'Named agents', answer };
