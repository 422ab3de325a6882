/** A turn that an agent's death has cut is tried again from its tool calls: none that has a result is run twice. */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { anthropicBackend } from '../../src/backends/anthropic.js';
import type { AnsweredCall, Backend, BackendEvent, Message } from '../../src/backends/backend.js';
import type { BackendTool } from '../../src/backends/model-backend.js';
import { openaiBackend } from '../../src/backends/openai.js';
import { providerBackend, sessionToolJournal } from '../../src/backends/tool-loop.js';
import { scriptedProvider } from '../../src/providers/scripted.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { messageStream } from '../support/anthropic-wire.js';
import { responseStream } from '../support/openai-wire.js';
import { WireServer } from '../support/wire-server.js';
import { harness, settled } from './harness.js';

const restarts = { restart: 'on-crash', restartLimits: { backoffMs: 10 } } as const;
const looks = { id: 'c1', name: 'look', input: { at: 'it' } };
const takes = { id: 'c2', name: 'take', input: {} };

/** Starts an agent, lets it die when it has come so far, and answers what comes of its turn. */
async function dieAndGoOn(backend: Backend, hasCome: () => boolean, die: () => void = () => {}) {
  const h = harness({ store: new MemorySessionStore() });
  await h.start({}, { backend, ...restarts });
  const ref = await h.host.tell('a', 'go');
  while (!hasCome()) await settled();
  await settled();
  await h.host.kill('a');
  die();
  await settled();
  h.clock.advance(10);
  await settled();
  return { ...h, ref, answer: h.host.await('a', ref) };
}

/** Tools that write down what they do; `take` never comes back the first time. */
function tools() {
  const runs: string[] = [];
  const tool = (name: string): BackendTool => ({
    name,
    inputSchema: { type: 'object' },
    run: () => {
      runs.push(name);
      return runs.filter((run) => run === 'take').length === 1 ? new Promise<never>(() => {}) : `${name} done`;
    },
  });
  return { runs, tools: [tool('look'), tool('take')] };
}

describe.each([
  [
    'anthropic',
    messageStream,
    (url: string, own: readonly BackendTool[]): Backend => {
      const client = new Anthropic({ apiKey: 'k', baseURL: url, logLevel: 'off' });
      return anthropicBackend({ client, model: 'm', tools: own }) as Backend;
    },
  ],
  [
    'openai',
    responseStream,
    (url: string, own: readonly BackendTool[]): Backend => {
      const client = new OpenAI({ apiKey: 'k', baseURL: url, logLevel: 'off' });
      return openaiBackend({ client, model: 'm', tools: own }) as Backend;
    },
  ],
])('%s', (_vendor, stream, backendAt) => {
  it('is told the results it had asked for, and runs only the call that had none', async () => {
    const streams = [
      stream([looks]),
      stream([takes]),
      stream([takes]),
      stream([{ text: 'done' }]),
      stream([{ text: 'more' }]),
    ];
    await using server = await WireServer.start((_, reply) => reply.events(streams.shift() ?? ''));
    const { runs, tools: own } = tools();
    const { answer, host } = await dieAndGoOn(backendAt(server.url, own), () => runs.length === 2);
    expect((await answer).text).toBe('done');
    expect(runs).toEqual(['look', 'take', 'take']);
    const bodies = server.requests.map(({ body }) => JSON.stringify(body));
    // The request after the crash is the one before it: the prompt once, the call once, its result once.
    expect(bodies[2]?.match(/"go"/g)).toHaveLength(1);
    expect(bodies[2]).toContain('look done');
    expect(bodies[2]).not.toContain('"c2"');
    expect((await host.ask('a', 'next')).text).toBe('more');
    const last = JSON.stringify(server.requests.at(-1)?.body);
    for (const once of [/"go"/g, /look done/g, /take done/g, /"done"/g]) expect(last.match(once)).toHaveLength(1);
  });
});

/** Calls a tool and is stuck; goes on as it is told to. */
function backendOf(goesOn: readonly (readonly BackendEvent[])[], resumes: boolean) {
  const opened: (readonly Message[])[] = [];
  const asked: unknown[] = [];
  const left = [...goesOn];
  const first: readonly BackendEvent[] = [
    { type: 'tool_use', ...looks },
    { type: 'tool_use', ...takes },
    { type: 'tool_result', id: 'c1', output: 'seen', isError: false },
  ];
  async function* stuck(signal: AbortSignal): AsyncGenerator<BackendEvent> {
    yield* first;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
  async function* play(): AsyncGenerator<BackendEvent> {
    yield* left.shift() ?? [];
  }
  const backend: Backend<number> = {
    name: 'own',
    startSession: ({ messages = [] } = {}) => opened.push(messages),
    prompt: (session, text, { signal }) => ({
      session,
      events: asked.push(text) === 1 ? stuck(signal) : play(),
    }),
    ...(resumes && {
      resumeTurn: (session: number, answered: readonly AnsweredCall[]) => {
        asked.push(answered);
        return { session, events: play() };
      },
    }),
    terminateSession: () => {},
  };
  return { backend: backend as Backend, opened, asked };
}

const user: Message = { role: 'user', content: [{ text: 'go' }] };
const called: Message = { role: 'model', content: [{ toolRequest: { ref: 'c1', name: 'look', input: { at: 'it' } } }] };
const answered: Message = { role: 'tool', content: [{ toolResponse: { ref: 'c1', name: 'look', output: 'seen' } }] };
const cut = (message: Message): Message => ({ ...message, metadata: { interrupted: true } });
const done: readonly BackendEvent[] = [{ type: 'result', text: 'done' }];

describe('the turn', () => {
  it('goes on from the calls that have results, where the backend can', async () => {
    const { backend, opened, asked } = backendOf([done], true);
    const { answer } = await dieAndGoOn(backend, () => asked.length === 1);
    expect((await answer).text).toBe('done');
    expect(opened.at(-1)).toEqual([user, called]);
    expect(asked.at(-1)).toMatchObject([{ ...looks, output: 'seen', isError: false }]);
  });

  it('is asked again with what was done before it, where the backend cannot', async () => {
    const { backend, opened, asked } = backendOf([done], false);
    const { answer, told } = await dieAndGoOn(backend, () => asked.length === 1);
    expect((await answer).text).toBe('done');
    expect(opened.at(-1)).toEqual([user, called, answered].map(cut));
    expect(asked).toEqual(['go', 'go']);
    expect(told('turn.start').map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('that fails when it goes on leaves a conversation that can be prompted', async () => {
    const refused: readonly BackendEvent[] = [{ type: 'result', text: 'sorry', isError: true }];
    const { backend, opened, asked } = backendOf([refused, done], true);
    const { answer, host } = await dieAndGoOn(backend, () => asked.length === 1);
    await expect(answer).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    expect(opened.at(-1)).toEqual([]);
    expect((await host.ask('a', 'anew')).text).toBe('done');
  });

  it('that fails when it goes on, and whose session cannot be opened again, is told to have failed all the same', async () => {
    const { backend, asked } = backendOf([[{ type: 'result', isError: true }]], true);
    let starts = 0;
    const startSession: Backend['startSession'] = (options) => {
      starts += 1;
      if (starts === 3) throw new Error('no more');
      return backend.startSession(options);
    };
    const { types } = await dieAndGoOn({ ...backend, startSession }, () => asked.length === 1);
    await settled();
    expect(types().slice(types().lastIndexOf('turn.start'))).toEqual([
      ...['turn.start', 'prompt.start', 'state.changed', 'prompt.error', 'turn.error'],
      ...['restarting', 'terminated'],
    ]);
  });

  it('that has ended leaves nothing to go on from', async () => {
    const { backend, opened, asked } = backendOf([done, done], true);
    const { answer, host, clock } = await dieAndGoOn(backend, () => asked.length === 1);
    await answer;
    await host.kill('a');
    await settled();
    clock.advance(100);
    await settled();
    expect((await host.ask('a', 'next')).text).toBe('done');
    expect(opened.at(-1)).toEqual([user, called, answered, { role: 'model', content: [{ text: 'done' }] }]);
    expect(asked.at(-1)).toBe('next');
  });
});

describe('under the tool loop', () => {
  it('a call that has its result is not run again, and what was asked is not asked again', async () => {
    const runs: string[] = [];
    const provider = scriptedProvider({
      mode: 'streaming',
      turns: [
        [
          { type: 'tool', ...looks },
          { type: 'tool', ...takes },
        ],
        [{ type: 'text', text: 'done' }],
        [{ type: 'text', text: 'done again' }],
      ],
    });
    const handler = (name: string) => {
      runs.push(name);
      return runs.length === 2 ? new Promise<never>(() => {}) : `${name} done`;
    };
    const journal = sessionToolJournal(new MemorySessionStore());
    const backend = providerBackend(provider, { handler, journal }) as Backend;
    const { answer } = await dieAndGoOn(backend, () => runs.length === 2);
    expect(await answer).toMatchObject({ text: 'done', isError: false });
    expect(runs.filter((run) => run === 'look')).toEqual(['look']);
    expect(provider.inputs).toMatchObject([{ prompt: 'go' }, { results: [{ text: 'look done' }, { isError: true }] }]);
  });
});
