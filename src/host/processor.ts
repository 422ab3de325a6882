/**
 * What an agent does, one thing at a time: serves a prompt, hears a notification, halts; and what follows from each.
 *
 * Source: `GenAgent`'s server, with the mended order: decision, `postTurn`, notifications, `postRun` (once a halt), answer.
 */
import { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { AgentParts } from './actor-parts.js';
import { Answers } from './answers.js';
import type { Decision, TurnOutcome } from './behaviour.js';
import type { Callbacks } from './callbacks.js';
import type { Told } from './events.js';
import { halted } from './host-errors.js';
import type { Lifecycle } from './lifecycle.js';
import { chain, chainIfFree, queueOwn } from './own-prompts.js';
import type { ResultBook } from './record.js';
import { failed, hasCaller, type Request } from './request.js';
import { factsOf, type Refusal, type TurnClosed, type TurnCycle } from './turn-cycle.js';

/** A prompt that a callback made and that was refused is not tried again sooner than this. Source: "paced 10 ms". */
const pacingMs = 10;

/** What a running agent is made of. */
export interface RunningParts extends AgentParts {
  readonly callbacks: Callbacks;
  readonly cycle: TurnCycle;
  readonly book: ResultBook;
  readonly lifecycle: Lifecycle;
}

/** What has the processor work, and is called back. */
export interface Loop {
  /** Something waits. */
  wake(): void;
  /** The agent cannot go on. */
  crash(cause: unknown): void;
}

/** What an agent does. */
export class Processor {
  readonly answers: Answers;
  readonly #parts: RunningParts;
  readonly #loop: Loop;
  /** Taken without having queued, and not begun. */
  #admitted: Request | undefined;
  /** From when it is taken until it is answered. */
  #current: Request | undefined;
  /** An idle agent halts: `postRun` goes on, and nobody has been told of the halt. */
  #isHalting = false;

  constructor(parts: RunningParts, loop: Loop) {
    this.#parts = parts;
    this.#loop = loop;
    this.answers = new Answers(parts);
    this.#admitted = parts.lost?.request;
  }

  get admitted(): Request | undefined {
    return this.#admitted;
  }

  /** The request that is being answered, from when it was taken. */
  get active(): Request | undefined {
    return this.#current ?? this.#admitted;
  }

  /** Takes a request that need not queue. */
  admit(request: Request): void {
    this.#admitted = request;
    this.#parts.cycle.open();
  }

  async preRun(): Promise<void> {
    const { callbacks, memory } = this.#parts;
    memory?.hold();
    await callbacks.preRun();
    memory?.put('hasRun', true);
    await memory?.commit();
  }

  /** Asks for a halt, which is remembered before it happens. */
  askHalt(): void {
    if (this.#parts.lifecycle.step('halt') !== undefined) this.#parts.memory?.put('halted', true);
  }

  /** Ends a halt, or takes back one that has not happened. */
  resume(): void {
    const { lifecycle, memory } = this.#parts;
    const then = lifecycle.step('resume');
    if (then === undefined) return;
    memory?.put('halted', false);
    // A resume is told after the halt it ends.
    if (then === 'tell that it resumes' && !this.#isHalting) this.#tell({ type: 'resumed' });
    this.#loop.wake();
  }

  /** An idle agent halts. */
  async halt(): Promise<void> {
    const { lifecycle, memory } = this.#parts;
    if (lifecycle.step('the halt is due') === 'run postRun') {
      this.#isHalting = true;
      await this.#enterHalt();
      this.#isHalting = false;
      if (lifecycle.isAlive && !lifecycle.isHalted) this.#tell({ type: 'resumed' });
    }
    await memory?.flush();
  }

  serveAdmitted(): Promise<void> {
    const request = this.#admitted;
    this.#admitted = undefined;
    return this.#serve(request);
  }

  serveChain(): Promise<void> {
    this.#parts.memory?.hold();
    return this.#serve(this.#parts.mailbox.takeChain());
  }

  servePrompt(): Promise<void> {
    const request = this.#parts.mailbox.takePrompt();
    this.tellDepth();
    return this.#serve(request);
  }

  /** Hears the oldest notification. A halt is left for the loop. */
  async hear(): Promise<void> {
    const { memory, mailbox } = this.#parts;
    memory?.hold();
    await this.#hearNext();
    if (memory !== undefined) await memory.commit();
    mailbox.tellListeners();
  }

  /** Answers a request that the loop has nothing to do with, as soon as the store has the outcome. */
  settle(request: Request, outcome: TurnOutcome): void {
    this.answers.settle(request, outcome, (cause) => this.#loop.crash(cause));
  }

  /** Prompts have left the queue. */
  tellDepth(): void {
    this.#tell({ type: 'mailbox.taken', depth: this.#parts.mailbox.prompts });
  }

  async #hearNext(): Promise<void> {
    const { callbacks, mailbox, lifecycle } = this.#parts;
    const notification = mailbox.takeNotification();
    if (notification === undefined) return;
    const decision = await callbacks.handleEvent(notification.event);
    mailbox.forgetNotification(notification);
    if (lifecycle.isAlive) await this.#followEvent(decision);
  }

  /** The request that was taken is answered, once the store has the outcome and the loop has gone on. */
  async #settleCurrent(request: Request, outcome: TurnOutcome | undefined): Promise<void> {
    const { memory, lifecycle, mailbox } = this.#parts;
    if (outcome !== undefined) this.answers.keep(request, outcome);
    if (memory !== undefined) await memory.commit();
    mailbox.tellListeners();
    if (this.#current === request) this.#current = undefined;
    if (outcome !== undefined && lifecycle.isAlive) this.answers.defer(request, outcome);
  }

  async #serve(request: Request | undefined): Promise<void> {
    if (request === undefined) return;
    const { callbacks, cycle, lost: left, memory, lifecycle } = this.#parts;
    this.#current = request;
    memory?.hold();
    const lost = left?.request === request ? left : undefined;
    if (lost?.isRetried === false) return this.#failLost(request, lost.prompt);
    cycle.open();
    // Without a `preTurn` nothing is waited for.
    const asIs = lost?.prompt ?? (callbacks.hasPreTurn ? undefined : request.prompt);
    const prompt = asIs ?? (await cycle.prepare(request));
    if (!lifecycle.isAlive) return;
    if (isRefusal(prompt)) return this.#refuseCurrent(request, prompt);
    memory?.put('current', { order: request.order, prompt });
    if (memory !== undefined) await memory.commit();
    if (!lifecycle.isAlive) return;
    const refusal = cycle.reserve();
    if (refusal !== undefined) return this.#refuseCurrent(request, refusal);
    cycle.announce(request, prompt);
    lifecycle.step('a turn begins');
    const closed = await cycle.run(request, prompt, lost, () => !lifecycle.isAlive);
    if (closed !== undefined && lifecycle.isAlive) await this.#finish(request, closed);
  }

  /** A turn that a dead process left behind, and that is not to be tried again. */
  async #failLost(request: Request, prompt: Request['prompt']): Promise<void> {
    const { cycle, lifecycle } = this.#parts;
    const error = new AgentFlowError('TURN_LOST', 'The process that ran the turn has died');
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    lifecycle.step('a turn begins');
    const closed = await cycle.close(request, prompt, failed(error));
    if (lifecycle.isAlive) await this.#finish(request, closed);
  }

  /** What follows from a turn. */
  async #finish(request: Request, closed: TurnClosed): Promise<void> {
    const { mailbox, lifecycle } = this.#parts;
    const isRetry = this.#follow(request, closed);
    for (let left = mailbox.notifications; left > 0 && lifecycle.isAlive; left--) await this.#hearNext();
    if (lifecycle.step('its callbacks are through') === 'run postRun') await this.#enterHalt();
    if (!lifecycle.isAlive) return;
    this.#rememberTurn(closed);
    await this.#settleCurrent(request, isRetry ? undefined : closed.outcome);
    if (lifecycle.step('the turn ends') === 'tell that it resumes') this.#tell({ type: 'resumed' });
  }

  #rememberTurn({ said }: TurnClosed): void {
    const { memory, record, policies } = this.#parts;
    if (memory === undefined) return;
    memory.put('totals', record.totals);
    memory.put('current', null);
    memory.put('calls', []);
    if (said.length > 0) memory.add('messages', record.ended, said);
    if (record.last !== undefined) memory.add('history', record.ended, record.last);
    memory.remove('history', record.ended - policies.maxHistory);
  }

  async #enterHalt(): Promise<void> {
    const { name, callbacks, memory, mailbox, observers, lifecycle } = this.#parts;
    // A resume that was told already is not taken back.
    if (!lifecycle.isToResume) memory?.put('halted', true);
    await callbacks.postRun();
    if (!lifecycle.isAlive) return;
    this.#tell({ type: 'halted', ...(observers.withContent ? { agentState: callbacks.state } : {}) });
    const impatient = lifecycle.staysHalted ? mailbox.takeImpatient() : [];
    if (impatient.length > 0) this.tellDepth();
    for (const request of impatient) this.settle(request, failed(halted(name)));
  }

  async #followEvent(decision: Decision<unknown>): Promise<void> {
    const { mailbox, lifecycle } = this.#parts;
    if (decision.decision === 'halt') lifecycle.step('a callback halts');
    if (decision.decision !== 'prompt' || !lifecycle.keepsWhatWaits) return;
    const isFree = lifecycle.phase === 'idle' && lifecycle.endsAs === undefined;
    const isNext = isFree && mailbox.prompts === 0 && this.#admitted === undefined;
    const request = mailbox.newRequest('event', decision.prompt);
    if (isNext) return this.admit(request);
    const error = queueOwn(this.#parts, request);
    if (error !== undefined) await this.#refuse(request, { error, halts: false });
  }

  /** Puts a turn's decision into effect; true when it tries the same request again. */
  #follow(request: Request, { outcome, decision }: TurnClosed): boolean {
    const { mailbox, lifecycle } = this.#parts;
    if (decision.decision !== 'prompt' || !lifecycle.keepsWhatWaits) return false;
    const isInterrupted = !outcome.ok && outcome.error.code === 'TURN_INTERRUPTED';
    const isRetry = !outcome.ok && hasCaller(request) && !isInterrupted;
    if (!isRetry) {
      chain(this.#parts, mailbox.newRequest('self_chain', decision.prompt));
      return false;
    }
    // Whoever comes to wait for it later must find the same wait.
    request.waiting ??= new Deferred();
    const again = { ...request, prompt: decision.prompt, attempt: request.attempt + 1 };
    mailbox.remember(again);
    chain(this.#parts, again);
    return true;
  }

  async #refuseCurrent(request: Request, refusal: Refusal): Promise<void> {
    const { memory, lifecycle } = this.#parts;
    memory?.hold();
    await this.#refuse(request, refusal);
    memory?.put('current', null);
    if (lifecycle.isAlive) await this.#settleCurrent(request, failed(refusal.error));
  }

  /** A prompt that was not asked: its caller is told; where there is none, `handleError` is. */
  async #refuse(request: Request, { error, halts }: Refusal): Promise<void> {
    const { callbacks, mailbox, clock, lifecycle } = this.#parts;
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    if (halts) lifecycle.step('a callback halts');
    if (halts || hasCaller(request)) return;
    this.#tell({ type: 'prompt.error', code: error.code, durationMs: 0, ...factsOf(request) });
    const decision = await callbacks.handleError(error, { ...factsOf(request), prompt: request.prompt });
    mailbox.forget(request);
    if (!lifecycle.isAlive) return;
    if (decision.decision === 'halt') lifecycle.step('a callback halts');
    if (decision.decision !== 'prompt' || !lifecycle.keepsWhatWaits) return;
    const again = { ...mailbox.newRequest('self_chain', decision.prompt), notBefore: clock.now() + pacingMs };
    chainIfFree(this.#parts, again, error);
    clock.after(pacingMs, () => this.#loop.wake(), { keepAlive: true });
  }

  #tell(told: Told): void {
    this.#parts.observers.tell(this.#parts.name, told);
  }
}

function isRefusal(prepared: Refusal | Request['prompt']): prepared is Refusal {
  return typeof prepared === 'object' && 'error' in prepared;
}
