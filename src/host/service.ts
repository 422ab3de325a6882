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
import { factsOf, type Refusal, type TurnClosed, type TurnCycle } from './cycle.js';
import type { Told } from './events.js';
import { halted } from './host-errors.js';
import type { Mind } from './mind.js';
import { chain, chainIfFree, queueOwn } from './own-prompts.js';
import type { ResultBook } from './record.js';
import { failed, hasCaller, type Request } from './request.js';
import type { Stance } from './stance.js';

/** A prompt that a callback made and that was refused is not tried again sooner than this. Source: "paced 10 ms". */
const pacingMs = 10;

/** What an agent lives with. */
export interface LifeParts extends AgentParts {
  readonly mind: Mind;
  readonly cycle: TurnCycle;
  readonly book: ResultBook;
  readonly stance: Stance;
}

/** What calls on the service, and is called back. */
export interface Loop {
  /** Something waits. */
  wake(): void;
  /** The agent cannot go on. */
  crash(cause: unknown): void;
}

/** What an agent does. */
export class Service {
  readonly #parts: LifeParts;
  readonly #loop: Loop;
  readonly #answers: Answers;
  /** Taken without having queued, and not begun. */
  #admitted: Request | undefined;
  /** From when it is taken until it is answered. */
  #current: Request | undefined;

  constructor(parts: LifeParts, loop: Loop) {
    this.#parts = parts;
    this.#loop = loop;
    this.#answers = new Answers(parts);
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
    const { mind, memory } = this.#parts;
    memory?.hold();
    await mind.preRun();
    memory?.put('hasRun', true);
    await memory?.commit();
  }

  /** Asks for a halt, which is remembered before it happens. */
  askHalt(): void {
    if (this.#parts.stance.step('halt') !== undefined) this.#parts.memory?.put('halted', true);
  }

  /** Ends a halt, or takes back one that has not happened. */
  resume(): void {
    const { stance, memory } = this.#parts;
    const then = stance.step('resume');
    if (then === undefined) return;
    memory?.put('halted', false);
    if (then === 'tell that it resumes') this.#tell({ type: 'resumed' });
    this.#loop.wake();
  }

  /** An idle agent halts. */
  async halt(): Promise<void> {
    if (this.#parts.stance.step('the halt is due') === 'run postRun') await this.#enterHalt();
    await this.#parts.memory?.flush();
  }

  serveAdmitted(): Promise<void> {
    const request = this.#admitted;
    this.#admitted = undefined;
    return this.#serve(request);
  }

  serveChain(): Promise<void> {
    this.#parts.memory?.hold();
    return this.#serve(this.#parts.backlog.takeChain());
  }

  servePrompt(): Promise<void> {
    const request = this.#parts.backlog.takePrompt();
    this.tellDepth();
    return this.#serve(request);
  }

  /** Hears the oldest notification. A halt is left for the loop. */
  async hear(): Promise<void> {
    const { memory, backlog } = this.#parts;
    memory?.hold();
    await this.#hearNext();
    if (memory !== undefined) await memory.commit();
    backlog.tellListeners();
  }

  /** Answers a request that the loop has nothing to do with, as soon as the store has the outcome. */
  settle(request: Request, outcome: TurnOutcome): void {
    this.#answers.settle(request, outcome, (cause) => this.#loop.crash(cause));
  }

  /** Tells everybody whose answer is there. The loop calls it when it knows what comes next. */
  tellAnswers(): void {
    this.#answers.tellDue();
  }

  /** Prompts have left the queue. */
  tellDepth(): void {
    this.#tell({ type: 'mailbox.taken', depth: this.#parts.backlog.prompts });
  }

  async #hearNext(): Promise<void> {
    const { mind, backlog, stance } = this.#parts;
    const notification = backlog.takeNotification();
    if (notification === undefined) return;
    const decision = await mind.handleEvent(notification.event);
    backlog.forgetNotification(notification);
    if (stance.isAlive) await this.#followEvent(decision);
  }

  /** The request that was taken is answered, once the store has the outcome and the loop has gone on. */
  async #settleCurrent(request: Request, outcome: TurnOutcome | undefined): Promise<void> {
    const { memory, stance, backlog } = this.#parts;
    if (outcome !== undefined) this.#answers.keep(request, outcome);
    if (memory !== undefined) await memory.commit();
    backlog.tellListeners();
    if (this.#current === request) this.#current = undefined;
    if (outcome !== undefined && stance.isAlive) this.#answers.isDue(request, outcome);
  }

  async #serve(request: Request | undefined): Promise<void> {
    if (request === undefined) return;
    const { mind, cycle, lost: left, memory, stance } = this.#parts;
    this.#current = request;
    memory?.hold();
    const lost = left?.request === request ? left : undefined;
    if (lost?.isRetried === false) return this.#failLost(request, lost.prompt);
    cycle.open();
    // Without a `preTurn` nothing is waited for.
    const asIs = lost?.prompt ?? (mind.hasPreTurn ? undefined : request.prompt);
    const prompt = asIs ?? (await cycle.prepare(request));
    if (!stance.isAlive) return;
    if (isRefusal(prompt)) return this.#refuseCurrent(request, prompt);
    memory?.put('current', { order: request.order, prompt });
    if (memory !== undefined) await memory.commit();
    if (!stance.isAlive) return;
    const refusal = cycle.reserve();
    if (refusal !== undefined) return this.#refuseCurrent(request, refusal);
    cycle.announce(request, prompt);
    stance.step('a turn begins');
    const closed = await cycle.run(request, prompt, lost, () => !stance.isAlive);
    if (closed !== undefined && stance.isAlive) await this.#finish(request, closed);
  }

  /** A turn that a dead process left behind, and that is not to be tried again. */
  async #failLost(request: Request, prompt: Request['prompt']): Promise<void> {
    const { cycle, stance } = this.#parts;
    const error = new AgentFlowError('TURN_LOST', 'The process that ran the turn has died');
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    stance.step('a turn begins');
    const closed = await cycle.close(request, prompt, failed(error));
    if (stance.isAlive) await this.#finish(request, closed);
  }

  /** What follows from a turn. */
  async #finish(request: Request, closed: TurnClosed): Promise<void> {
    const { backlog, stance } = this.#parts;
    const isRetry = this.#follow(request, closed);
    for (let left = backlog.notifications; left > 0 && stance.isAlive; left--) await this.#hearNext();
    if (stance.step('its callbacks are through') === 'run postRun') await this.#enterHalt();
    if (!stance.isAlive) return;
    this.#rememberTurn(closed);
    await this.#settleCurrent(request, isRetry ? undefined : closed.outcome);
    if (stance.step('the turn ends') === 'tell that it resumes') this.#tell({ type: 'resumed' });
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
    const { name, mind, memory, backlog, observers, stance } = this.#parts;
    // A resume that was told already is not taken back.
    if (!stance.isToResume) memory?.put('halted', true);
    await mind.postRun();
    if (!stance.isAlive) return;
    this.#tell({ type: 'halted', ...(observers.withContent ? { agentState: mind.state } : {}) });
    const impatient = backlog.takeImpatient();
    if (impatient.length > 0) this.tellDepth();
    for (const request of impatient) this.settle(request, failed(halted(name)));
  }

  async #followEvent(decision: Decision<unknown>): Promise<void> {
    const { backlog, stance } = this.#parts;
    if (decision.decision === 'halt') stance.step('a callback halts');
    if (decision.decision !== 'prompt' || !stance.keepsWhatWaits) return;
    const isFree = stance.phase === 'idle' && stance.endsAs === undefined;
    const isNext = isFree && backlog.prompts === 0 && this.#admitted === undefined;
    const request = backlog.newRequest('event', decision.prompt);
    if (isNext) return this.admit(request);
    const error = queueOwn(this.#parts, request);
    if (error !== undefined) await this.#refuse(request, { error, halts: false });
  }

  /** Puts a turn's decision into effect; true when it tries the same request again. */
  #follow(request: Request, { outcome, decision }: TurnClosed): boolean {
    const { backlog, stance } = this.#parts;
    if (decision.decision !== 'prompt' || !stance.keepsWhatWaits) return false;
    const isInterrupted = !outcome.ok && outcome.error.code === 'TURN_INTERRUPTED';
    const isRetry = !outcome.ok && hasCaller(request) && !isInterrupted;
    if (!isRetry) {
      chain(this.#parts, backlog.newRequest('self_chain', decision.prompt));
      return false;
    }
    // Whoever comes to wait for it later must find the same wait.
    request.waiting ??= new Deferred();
    const again = { ...request, prompt: decision.prompt, attempt: request.attempt + 1 };
    backlog.remember(again);
    chain(this.#parts, again);
    return true;
  }

  async #refuseCurrent(request: Request, refusal: Refusal): Promise<void> {
    const { memory, stance } = this.#parts;
    memory?.hold();
    await this.#refuse(request, refusal);
    memory?.put('current', null);
    if (stance.isAlive) await this.#settleCurrent(request, failed(refusal.error));
  }

  /** A prompt that was not asked: its caller is told; where there is none, `handleError` is. */
  async #refuse(request: Request, { error, halts }: Refusal): Promise<void> {
    const { mind, backlog, clock, stance } = this.#parts;
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    if (halts) stance.step('a callback halts');
    if (halts || hasCaller(request)) return;
    this.#tell({ type: 'prompt.error', code: error.code, durationMs: 0, ...factsOf(request) });
    const decision = await mind.handleError(error, { ...factsOf(request), prompt: request.prompt });
    backlog.forget(request);
    if (!stance.isAlive) return;
    if (decision.decision === 'halt') stance.step('a callback halts');
    if (decision.decision !== 'prompt' || !stance.keepsWhatWaits) return;
    const again = { ...backlog.newRequest('self_chain', decision.prompt), notBefore: clock.now() + pacingMs };
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
