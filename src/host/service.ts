/**
 * What an agent does, one thing at a time: serves a prompt, hears a notification, halts; and what follows from each.
 *
 * Source: `GenAgent`'s server, with the mended order: decision, `postTurn`, notifications, `postRun` (once a halt), answer.
 */
import { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { AgentParts } from './actor-parts.js';
import type { Decision, TurnOutcome } from './behaviour.js';
import { factsOf, type Refusal, type TurnClosed, type TurnCycle } from './cycle.js';
import type { Told } from './events.js';
import { halted } from './host-errors.js';
import type { Mind } from './mind.js';
import { type ResultBook, toKeptOutcome } from './record.js';
import { answer, failed, hasCaller, type Request } from './request.js';
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
  /** Taken without having queued, and not begun. */
  #admitted: Request | undefined;
  /** From when it is taken until it is answered. */
  #current: Request | undefined;
  #answers: (() => void)[] | undefined;

  constructor(parts: LifeParts, loop: Loop) {
    this.#parts = parts;
    this.#loop = loop;
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
  }

  async preRun(): Promise<void> {
    await this.#parts.mind.preRun();
    this.#parts.memory?.put('hasRun', true);
    await this.#parts.memory?.flush();
  }

  /** An idle agent halts. */
  async halt(): Promise<void> {
    this.#parts.stance.haltNow();
    await this.#enterHalt();
    await this.#parts.memory?.flush();
  }

  serveAdmitted(): Promise<void> {
    const request = this.#admitted;
    this.#admitted = undefined;
    return this.#serve(request);
  }

  serveChain(): Promise<void> {
    return this.#serve(this.#parts.backlog.takeChain());
  }

  servePrompt(): Promise<void> {
    const { backlog } = this.#parts;
    const request = backlog.takePrompt();
    this.#tell({ type: 'mailbox.taken', depth: backlog.prompts });
    return this.#serve(request);
  }

  /** Hears the oldest notification. A halt is left for the loop, or for the turn's end. */
  async hear(): Promise<void> {
    const { mind, backlog, memory, stance } = this.#parts;
    const notification = backlog.takeNotification();
    if (notification === undefined) return;
    const decision = await mind.handleEvent(notification.event);
    backlog.forgetNotification(notification);
    if (stance.isAlive) await this.#followEvent(decision);
    await memory?.flush();
    notification.heard?.resolve();
  }

  /** Answers a request that the loop has nothing to do with, as soon as the store has the outcome. */
  settle(request: Request, outcome: TurnOutcome): void {
    const { name, memory } = this.#parts;
    this.#keep(request, outcome);
    const tell = () => answer(name, request, outcome);
    if (memory === undefined) tell();
    // What was told is never taken back by a crash.
    else memory.flush().then(tell, (cause) => this.#loop.crash(cause));
  }

  /** Tells everybody whose answer is there. The loop calls it when it knows what comes next. */
  tellAnswers(): void {
    const answers = this.#answers;
    this.#answers = undefined;
    for (const tell of answers ?? []) tell();
  }

  /** The request is done with: nothing of it is remembered but the outcome of a `tell`. */
  #keep(request: Request, outcome: TurnOutcome): void {
    const { memory, backlog, book } = this.#parts;
    backlog.forget(request);
    if (request.origin !== 'tell') return;
    const { ref, order } = request;
    memory?.add('results', order, { ref, outcome: toKeptOutcome(outcome) });
    const dropped = book.add(ref, outcome, order);
    if (dropped !== undefined) memory?.remove('results', dropped);
  }

  /** The request that was taken is answered, once the store has the outcome and the loop has gone on. */
  async #settleCurrent(request: Request, outcome: TurnOutcome | undefined): Promise<void> {
    const { name, memory } = this.#parts;
    if (outcome !== undefined) this.#keep(request, outcome);
    await memory?.flush();
    if (this.#current === request) this.#current = undefined;
    if (outcome === undefined || !this.#parts.stance.isAlive) return;
    this.#answers ??= [];
    this.#answers.push(() => answer(name, request, outcome));
  }

  async #serve(request: Request | undefined): Promise<void> {
    if (request === undefined) return;
    const { cycle, lost, memory, stance } = this.#parts;
    this.#current = request;
    cycle.open();
    const isLost = lost?.request === request;
    if (isLost && !lost.isRetried) return this.#failLost(request);
    const prompt = isLost ? lost.prompt : await cycle.prepare(request);
    if (!stance.isAlive) return;
    if (isRefusal(prompt)) return this.#refuseCurrent(request, prompt);
    memory?.put('current', { order: request.order, prompt });
    await memory?.flush();
    if (!stance.isAlive) return;
    const refusal = cycle.reserve();
    if (refusal !== undefined) return this.#refuseCurrent(request, refusal);
    cycle.announce(request, prompt);
    stance.step('a turn begins');
    const closed = await cycle.run(request, prompt, () => !stance.isAlive);
    if (closed !== undefined && stance.isAlive) await this.#finish(request, closed);
  }

  /** A turn that a dead process left behind, and that is not to be tried again. */
  async #failLost(request: Request): Promise<void> {
    const { cycle, lost, stance } = this.#parts;
    const error = new AgentFlowError('TURN_LOST', 'The process that ran the turn has died');
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    stance.step('a turn begins');
    const closed = await cycle.close(request, lost?.prompt ?? request.prompt, failed(error));
    if (stance.isAlive) await this.#finish(request, closed);
  }

  /** What follows from a turn. */
  async #finish(request: Request, { outcome, decision }: TurnClosed): Promise<void> {
    const { backlog, stance } = this.#parts;
    const isRetry = this.#follow(request, outcome, decision);
    for (let left = backlog.notifications; left > 0 && stance.isAlive; left--) await this.hear();
    if (!stance.isAlive) return;
    if (stance.sealTurn()) await this.#enterHalt();
    if (!stance.isAlive) return;
    this.#rememberTurn();
    await this.#settleCurrent(request, isRetry ? undefined : outcome);
    if (stance.isAlive && stance.endTurn()) this.resume();
  }

  #rememberTurn(): void {
    const { memory, record, policies } = this.#parts;
    if (memory === undefined) return;
    memory.put('totals', record.totals);
    memory.put('current', null);
    if (record.last !== undefined) memory.add('history', record.ended, record.last);
    memory.remove('history', record.ended - policies.maxHistory);
  }

  /** Ends a halt, or takes back one that was asked for. */
  resume(): void {
    const { stance, memory } = this.#parts;
    if (!stance.resume()) return;
    memory?.put('halted', false);
    this.#tell({ type: 'resumed' });
    this.#loop.wake();
  }

  async #enterHalt(): Promise<void> {
    const { name, mind, memory, backlog, observers, stance } = this.#parts;
    memory?.put('halted', true);
    await mind.postRun();
    if (!stance.isAlive) return;
    this.#tell({ type: 'halted', ...(observers.withContent ? { agentState: mind.state } : {}) });
    for (const request of backlog.takeImpatient()) this.settle(request, failed(halted(name)));
  }

  async #followEvent(decision: Decision<unknown>): Promise<void> {
    const { backlog, stance } = this.#parts;
    if (decision.decision === 'halt') stance.askHalt();
    if (decision.decision !== 'prompt' || stance.wantsEnd !== undefined) return;
    const isNext = stance.phase === 'idle' && backlog.prompts === 0 && this.#admitted === undefined;
    const request = backlog.newRequest('event', decision.prompt);
    if (isNext) return this.admit(request);
    try {
      backlog.assertRoom(decision.prompt);
    } catch (error) {
      return this.#refuse(request, { error: error as AgentFlowError, halts: false });
    }
    backlog.queue(request);
    this.#tell({ type: 'mailbox.queued', depth: backlog.prompts });
  }

  /** Puts a turn's decision into effect; true when it tries the same request again. */
  #follow(request: Request, outcome: TurnOutcome, decision: Decision<unknown>): boolean {
    const { backlog, stance } = this.#parts;
    if (decision.decision === 'halt') stance.decideHalt();
    if (decision.decision !== 'prompt' || stance.wantsEnd !== undefined) return false;
    const isInterrupted = !outcome.ok && outcome.error.code === 'TURN_INTERRUPTED';
    const isRetry = !outcome.ok && hasCaller(request) && !isInterrupted;
    if (!isRetry) {
      backlog.setChain(backlog.newRequest('self_chain', decision.prompt));
      return false;
    }
    // Whoever comes to wait for it later must find the same wait.
    request.waiting ??= new Deferred();
    const again = { ...request, prompt: decision.prompt, attempt: request.attempt + 1 };
    backlog.remember(again);
    backlog.setChain(again);
    return true;
  }

  async #refuseCurrent(request: Request, refusal: Refusal): Promise<void> {
    const { memory, stance } = this.#parts;
    memory?.put('current', null);
    await this.#refuse(request, refusal);
    if (!stance.isAlive) return;
    await this.#settleCurrent(request, failed(refusal.error));
    stance.step('a prompt is refused');
  }

  /** A prompt that was not asked: its caller is told; where there is none, `handleError` is. */
  async #refuse(request: Request, { error, halts }: Refusal): Promise<void> {
    const { mind, backlog, clock, stance } = this.#parts;
    this.#tell({ type: 'turn.rejected', code: error.code, ...factsOf(request) });
    if (halts) stance.askHalt();
    if (halts || hasCaller(request)) return;
    this.#tell({ type: 'prompt.error', code: error.code, durationMs: 0, ...factsOf(request) });
    const decision = await mind.handleError(error, { ...factsOf(request), prompt: request.prompt });
    backlog.forget(request);
    if (!stance.isAlive) return;
    if (decision.decision === 'halt') stance.askHalt();
    if (decision.decision !== 'prompt' || stance.wantsEnd !== undefined) return;
    backlog.setChain({ ...backlog.newRequest('self_chain', decision.prompt), notBefore: clock.now() + pacingMs });
    clock.after(pacingMs, () => this.#loop.wake(), { keepAlive: true });
  }

  #tell(told: Told): void {
    this.#parts.observers.tell(this.#parts.name, told);
  }
}

function isRefusal(prepared: Refusal | Request['prompt']): prepared is Refusal {
  return typeof prepared === 'object' && 'error' in prepared;
}
