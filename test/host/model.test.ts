/**
 * Random interleavings of every call and every outcome against a small model of the same machine: the model is synchronous
 * and has no callbacks, promises or streams in it, only the rules.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { type Decision, halt, noreply, type PollResult, proceed, prompt, skip } from '../../src/host/host.js';
import { Deferred } from '../../src/internal/deferred.js';
import { Gate, harness, settled } from './harness.js';

/** What a callback decides, written in the prompt or the event itself. */
type Plan = 'noreply' | 'prompt' | 'halt';
type Ending = 'ok' | 'error' | 'none';

interface ModelRequest {
  readonly id: string;
  readonly origin: 'ask' | 'tell' | 'event' | 'self_chain';
  readonly plan: Plan;
  readonly skipped: boolean;
  /** A failure is answered by trying again. */
  readonly retried: boolean;
}

/** The rules, and nothing else. */
class Model {
  phase: 'idle' | 'processing' = 'idle';
  halted = false;
  haltPending = false;
  current: ModelRequest | undefined;
  chain: ModelRequest | undefined;
  mailbox: ModelRequest[] = [];
  notifications: Plan[] = [];
  /** Refs by our ids, and how they were settled. */
  outcomes = new Map<string, string>();
  dispatched: string[] = [];
  postRuns = 0;
  chained = 0;
  heard = 0;

  admit(request: ModelRequest): void {
    this.mailbox.push(request);
    this.next();
  }

  /** process_next. */
  next(): void {
    while (this.phase === 'idle' && !this.halted) {
      const request = this.chain ?? this.mailbox.shift();
      if (request === undefined) return;
      this.chain = undefined;
      if (request.skipped) {
        this.settle(request, 'TURN_SKIPPED');
        continue;
      }
      this.dispatched.push(request.id);
      this.current = request;
      this.phase = 'processing';
    }
  }

  finish(code: string): void {
    const request = this.current;
    if (request === undefined) return;
    let halts = false;
    if (code === 'ok') {
      if (request.plan === 'prompt') this.chain = this.follow('self_chain');
      halts = request.plan === 'halt';
    }
    const isRetry = code !== 'ok' && request.retried && code !== 'TURN_INTERRUPTED';
    if (isRetry) this.chain = { ...request, plan: 'noreply', retried: false };
    else if (code !== 'ok' && request.retried) this.chain = this.follow('self_chain');
    for (const plan of this.notifications.splice(0)) {
      this.heard += 1;
      if (plan === 'prompt') this.mailbox.push(this.follow('event'));
      if (plan === 'halt') halts = true;
    }
    halts ||= this.haltPending;
    this.haltPending = false;
    if (halts) this.postRuns += 1;
    if (!isRetry) this.settle(request, code);
    this.current = undefined;
    this.phase = 'idle';
    this.halted = halts;
    this.next();
  }

  notify(plan: Plan): void {
    if (this.phase === 'processing') {
      this.notifications.push(plan);
      return;
    }
    this.heard += 1;
    if (plan === 'prompt') this.mailbox.push(this.follow('event'));
    if (plan === 'halt') this.halt();
    this.next();
  }

  halt(): void {
    if (this.phase === 'processing') this.haltPending = true;
    else if (!this.halted) {
      this.halted = true;
      this.postRuns += 1;
    }
  }

  resume(): void {
    this.haltPending = false;
    this.halted = false;
    this.next();
  }

  cancel(id: string): string {
    if (this.current?.id === id) return 'REQUEST_CURRENT';
    if (this.chain?.id === id) {
      this.chain = undefined;
      this.outcomes.set(id, 'REQUEST_CANCELLED');
      return 'ok';
    }
    const index = this.mailbox.findIndex((request) => request.id === id);
    if (index < 0) return this.outcomes.get(id) === 'REQUEST_CANCELLED' ? 'ok' : 'REQUEST_FINISHED';
    this.mailbox.splice(index, 1);
    this.outcomes.set(id, 'REQUEST_CANCELLED');
    return 'ok';
  }

  /** Prompts that callbacks make are plain. */
  follow(origin: 'event' | 'self_chain'): ModelRequest {
    this.chained += 1;
    return { id: 'follow', origin, plan: 'noreply', skipped: false, retried: false };
  }

  settle({ id, origin }: ModelRequest, code: string): void {
    if (origin === 'ask' || origin === 'tell') this.outcomes.set(id, code);
  }
}

/** The real thing, with turns that wait to be ended. */
class Real {
  readonly h = harness();
  readonly refs = new Map<string, string>();
  readonly answers = new Map<string, string>();
  readonly dispatched: string[] = [];
  postRuns = 0;
  heard = 0;
  turn: Deferred<Ending> | undefined;

  async start(): Promise<void> {
    await this.h.host.start(
      {
        init: () => ({ state: 0 }),
        preTurn: (text, state) => (String(text).includes('skip') ? skip(state) : proceed(text, state)),
        handleResponse: (_ref, _response, state, turn) => this.#decide(String(turn.prompt), state + 1),
        handleError: (_ref, { code }, state, turn) => {
          const text = String(turn.prompt);
          if (!text.includes('retry')) return noreply(state);
          return prompt(code === 'TURN_INTERRUPTED' ? 'follow' : `${text.split(' ')[0]} again`, state);
        },
        handleEvent: (event: unknown, state) => {
          this.heard += 1;
          return this.#decide(String(event), state);
        },
        postRun: () => {
          this.postRuns += 1;
        },
      },
      {
        name: 'a',
        maxTellResults: 1_000,
        backend: {
          ...this.h.backend,
          prompt: (session, text, { signal }) => ({ session, events: this.#play(String(text), signal) }),
        },
      },
    );
  }

  #decide(text: string, state: number): Decision<number> {
    if (text.includes('prompt')) return prompt('follow', state);
    return text.includes('halt') ? halt(state) : noreply(state);
  }

  async *#play(text: string, signal: AbortSignal): AsyncGenerator<BackendEvent> {
    this.dispatched.push(text.split(' ')[0] ?? '');
    const turn = new Deferred<Ending>();
    this.turn = turn;
    const cut = new Deferred<Ending>();
    signal.addEventListener('abort', () => cut.resolve('none'));
    const ending = await Promise.race([turn.promise, cut.promise]);
    if (ending === 'ok') yield { type: 'result', text: 'done' };
    if (ending === 'error')
      yield {
        type: 'error',
        error: { provider: 'model', kind: 'server', retryable: true, message: 'down', raw: undefined },
      };
  }
}

class Step implements fc.AsyncCommand<Model, Real> {
  readonly #name: string;
  readonly #act: (model: Model, real: Real) => Promise<void> | void;

  constructor(name: string, act: (model: Model, real: Real) => Promise<void> | void) {
    this.#name = name;
    this.#act = act;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.#act(model, real);
    await settled();
    await expectSame(model, real);
  }

  toString(): string {
    return this.#name;
  }
}

async function expectSame(model: Model, { h, refs, answers, dispatched, postRuns, heard }: Real): Promise<void> {
  const { host } = h;
  const status = await host.status('a');
  expect({ state: status.state, halted: status.halted, queued: status.queued }).toEqual({
    state: model.phase,
    halted: model.halted,
    queued: model.mailbox.length,
  });
  const snapshot = await host.snapshot('a');
  expect(snapshot).toMatchObject({
    phase: model.phase,
    haltPending: model.haltPending,
    selfChainPending: model.chain !== undefined,
    pendingNotifications: model.notifications.length,
  });
  expect(snapshot.currentRequest?.origin).toBe(model.current?.origin);
  expect({ dispatched, postRuns, heard }).toEqual({
    dispatched: model.dispatched,
    postRuns: model.postRuns,
    heard: model.heard,
  });
  for (const [id, ref] of refs)
    expect([id, codeOf(await host.poll('a', ref))]).toEqual([id, model.outcomes.get(id) ?? 'pending']);
  for (const [id, code] of answers) expect([id, code]).toEqual([id, model.outcomes.get(id) ?? 'pending']);
}

function codeOf(result: PollResult): string {
  if (result.status === 'failed') return result.error.code;
  return result.status === 'completed' ? 'ok' : 'pending';
}

let ids = 0;

const plans = fc.constantFrom<Plan>('noreply', 'prompt', 'prompt', 'halt');
const prompts = fc
  .record({
    plan: plans,
    skipped: fc.constantFrom(false, false, false, true),
    retried: fc.constantFrom(false, false, true),
  })
  .map((made) => ({
    ...made,
    text: `${made.plan}${made.skipped ? ' skip' : ''}${made.retried ? ' retry' : ''}`,
  }));

const steps = [
  prompts.map(
    ({ text, ...made }) =>
      new Step(`tell ${text}`, async (model, real) => {
        const id = `t${++ids}`;
        real.refs.set(id, await real.h.host.tell('a', `${id} ${text}`));
        model.admit({ id, origin: 'tell', ...made });
      }),
  ),
  prompts.map(
    ({ text, ...made }) =>
      new Step(`ask ${text}`, (model, real) => {
        const id = `a${++ids}`;
        real.answers.set(id, 'pending');
        real.h.host.ask('a', `${id} ${text}`).then(
          () => real.answers.set(id, 'ok'),
          ({ code }) => real.answers.set(id, code),
        );
        model.admit({ id, origin: 'ask', ...made });
      }),
  ),
  plans.map(
    (plan) =>
      new Step(`notify ${plan}`, async (model, real) => {
        const wasProcessing = model.phase === 'processing';
        expect(await real.h.host.notifyAck('a', plan)).toBe(wasProcessing ? 'retained' : 'handled');
        model.notify(plan);
      }),
  ),
  fc
    .constantFrom<[Ending, string]>(
      ['ok', 'ok'],
      ['ok', 'ok'],
      ['error', 'BACKEND_FAILED'],
      ['none', 'BACKEND_NO_TERMINAL'],
    )
    .map(
      ([ending, code]) =>
        new Step(`turn ends: ${ending}`, (model, real) => {
          real.turn?.resolve(ending);
          model.finish(code);
        }),
    ),
  fc.constant(
    new Step('interrupt', async (model, real) => {
      expect(await real.h.host.interrupt('a')).toBe(model.phase === 'processing');
      model.finish('TURN_INTERRUPTED');
    }),
  ),
  fc.constant(
    new Step('watchdog', (model, real) => {
      real.h.clock.advance(600_000);
      model.finish('TURN_TIMEOUT');
    }),
  ),
  fc.constant(
    new Step('halt', async (model, real) => {
      await real.h.host.halt('a');
      model.halt();
    }),
  ),
  fc.constant(
    new Step('resume', async (model, real) => {
      await real.h.host.resume('a');
      model.resume();
    }),
  ),
  fc.nat(9).map(
    (pick) =>
      new Step(`cancel ${pick}`, async (model, real) => {
        const [id, ref] = [...real.refs].at(-1 - (pick % Math.max(1, real.refs.size))) ?? [];
        if (id === undefined || ref === undefined) return;
        const said = await real.h.host.cancel('a', ref).then(
          () => 'ok',
          ({ code }) => code,
        );
        expect(said).toBe(model.cancel(id));
      }),
  ),
  fc.nat(9).map(
    (pick) =>
      new Step(`interrupt by ref ${pick}`, async (model, real) => {
        const [id, ref] = [...real.refs].at(-1 - (pick % Math.max(1, real.refs.size))) ?? [];
        if (id === undefined || ref === undefined) return;
        const said = await real.h.host.interrupt('a', ref).then(
          () => 'ok',
          ({ code }) => code,
        );
        const isCurrent = model.current?.id === id;
        expect(said).toBe(isCurrent ? 'ok' : model.current === undefined ? 'AGENT_IDLE' : 'REQUEST_NOT_CURRENT');
        if (isCurrent) model.finish('TURN_INTERRUPTED');
      }),
  ),
];

describe('the host against its model', () => {
  it('does the same in every interleaving', { timeout: 180_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(steps, { maxCommands: 60, size: 'max' }), async (commands) => {
        const real = new Real();
        await real.start();
        await fc.asyncModelRun(() => ({ model: new Model(), real }), commands);
        await real.h.host.stop('a');
      }),
      { numRuns: 150 },
    );
  });

  it('answers everybody who waits exactly once when it ends, however it ends', async () => {
    for (const end of ['stop', 'drain', 'kill', 'close'] as const) {
      const { start, host } = harness();
      const gate = new Gate();
      await start({}, {}, gate.turn);
      const completions: string[] = [];
      for (const text of ['1', '2', '3'])
        await host.tell('a', text, { onCompletion: ({ ref }) => completions.push(ref) });
      await settled();
      const ended = end === 'close' ? host.close() : host[end]('a');
      gate.open();
      await ended;
      expect([new Set(completions).size, completions.length]).toEqual([3, 3]);
    }
  });
});
