/** One named agent as its host asks it: nothing here waits for a callback. */
import type { Prompt, Response } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import type { AgentBeginning, AgentParts, AgentStatus, RuntimeSnapshot } from './actor-parts.js';
import type { EndReason, TurnOutcome } from './behaviour.js';
import { factsOf, TurnCycle } from './cycle.js';
import { draining, halted, terminated } from './host-errors.js';
import { type BudgetStatus, Ledger } from './ledger.js';
import { Life } from './life.js';
import { Mind } from './mind.js';
import { closed, opened } from './opening.js';
import { type AgentRecord, ResultBook } from './record.js';
import { answerOf, type Following, failed, type Request } from './request.js';
import type { LifeParts } from './service.js';
import { Stance } from './stance.js';

/** Of this process. */
let lives = 0;

/** One named agent. */
export class Actor {
  readonly #number = ++lives;
  readonly #parts: LifeParts;
  readonly #life: Life;

  /** What the agent begins with is not kept. */
  constructor(parts: AgentParts, { state, session, results, isHalted }: AgentBeginning) {
    const mind = new Mind(parts, state);
    // A turn that was left behind is finished first.
    const whenHalted = parts.lost === undefined ? 'halted' : 'idle, to halt';
    const stance = new Stance(isHalted ? whenHalted : 'idle', parts);
    const book = new ResultBook(parts.policies.tellResults);
    for (const { ref, order, outcome } of results) book.add(ref, outcome, order);
    // One object for all of an agent's organs: a hundred thousand of them are held.
    const organs = { mind, stance, book };
    this.#parts = Object.assign(parts, organs, { cycle: new TurnCycle(Object.assign(parts, organs), session) });
    this.#life = new Life(this.#parts);
  }

  /** Begins: what waits already is served. */
  begin(resumed: boolean): void {
    const { observers, name } = this.#parts;
    observers.tell(name, { type: 'agent.started', resumed });
    observers.tell(name, { type: 'state.changed', from: undefined, to: 'idle' });
    this.#life.wake();
  }

  /** Unique to this life of the name. */
  get id(): string {
    return `${this.#parts.owner}/${this.#number}`;
  }

  get record(): AgentRecord {
    return this.#parts.record;
  }

  /** The agent's own budget; without one, what was spent. */
  get budget(): BudgetStatus {
    const { ledger, record } = this.#parts;
    return (ledger ?? new Ledger('agent', {}, record.totals)).status();
  }

  get parts(): AgentParts {
    return this.#parts;
  }

  get status(): AgentStatus {
    const { name, stance, backlog, mind } = this.#parts;
    return {
      name,
      state: stance.isProcessing ? 'processing' : 'idle',
      halted: stance.isHalted,
      queued: backlog.prompts,
      currentRequest: this.#life.service.active?.ref,
      agentState: mind.state,
    };
  }

  get snapshot(): RuntimeSnapshot {
    const { backlog, clock, policies, stance, cycle } = this.#parts;
    const { active } = this.#life.service;
    const elapsedMs = stance.isProcessing ? clock.now() - cycle.startedAt : 0;
    return {
      phase: stance.isProcessing ? 'processing' : 'idle',
      halted: stance.isHalted,
      haltPending: stance.isToHalt,
      draining: stance.endsAs !== undefined,
      pendingPrompts: backlog.prompts,
      pendingNotifications: backlog.notifications,
      selfChainPending: backlog.chain !== undefined,
      currentRequest: active && { ...factsOf(active), elapsedMs, watchdogMs: policies.watchdogMs },
    };
  }

  /** Takes a prompt. Throws what refuses it: overloaded, draining, halted, ended. */
  admit(origin: 'ask' | 'tell', prompt: Prompt, following: Following): Request {
    this.#assertOpen();
    if (this.#parts.stance.isHalted && following.onHalt === 'fail') throw halted(this.#parts.name);
    const { backlog, observers, name } = this.#parts;
    const { isFree } = this.#life;
    if (!isFree) backlog.assertRoom(prompt);
    const request = backlog.newRequest(origin, prompt, following);
    if (isFree) this.#life.take(request);
    else {
      backlog.queue(request);
      observers.tell(name, { type: 'mailbox.queued', depth: backlog.prompts });
      this.#life.wake();
    }
    return request;
  }

  /** Resolves when what was taken so far is in the store, where there is one. An agent that cannot be remembered ends. */
  async saved(): Promise<void> {
    try {
      await this.#parts.memory?.flush();
    } catch (error) {
      this.#life.crash(error);
      throw error;
    }
  }

  /** It was taken, and its turn has not come. */
  isWaiting(ref: string): boolean {
    return this.#life.service.active?.ref !== ref && this.#parts.backlog.find(ref) !== undefined;
  }

  /** What became of a `tell`; `undefined`: it waits, or is answered just now. Throws `REF_NOT_FOUND`. */
  poll(ref: string): TurnOutcome | undefined {
    return this.#find(ref) === undefined ? this.#kept(ref) : undefined;
  }

  /** The answer, as soon as there is one. */
  async await(ref: string): Promise<Response> {
    const request = this.#find(ref);
    if (request !== undefined) return answerOf(request);
    const outcome = this.#kept(ref);
    if (outcome.ok) return outcome.response;
    throw outcome.error;
  }

  /** Takes an event; answers whether it is handled at once, and when it has been. */
  notify(event: unknown, isAwaited: boolean): { readonly isDeferred: boolean; readonly heard: Promise<void> } {
    this.#assertOpen();
    const { backlog, observers, name } = this.#parts;
    const isDeferred = this.#life.isBusy;
    const notification = backlog.notify(event, { isHeardAtOnce: !isDeferred, isAwaited });
    const told = observers.withContent ? { event } : {};
    observers.tell(name, { type: 'event.received', deferred: isDeferred, ...told });
    this.#life.wake();
    return { isDeferred, heard: notification.heard?.promise ?? Promise.resolve() };
  }

  /** Cuts the turn in flight; false when there is none. Given a ref: that turn, or throws what stands in the way. */
  interrupt(ref?: string): boolean {
    const active = this.#life.service.active;
    const canBeCut = active !== undefined && this.#parts.cycle.canBeCut;
    if (ref !== undefined && active === undefined)
      throw new AgentFlowError('AGENT_IDLE', `The agent "${this.#parts.name}" has no turn in flight`);
    if (ref !== undefined && active?.ref !== ref)
      throw new AgentFlowError('REQUEST_NOT_CURRENT', 'The turn in flight is not that of this request');
    if (ref !== undefined && !canBeCut)
      throw new AgentFlowError('REQUEST_NOT_CURRENT', 'The backend has answered already: there is nothing left to cut');
    if (canBeCut) this.#parts.cycle.cut(new AgentFlowError('TURN_INTERRUPTED', 'The turn was interrupted'));
    return canBeCut;
  }

  /** Takes a request out of the queue. Throws `REQUEST_CURRENT`, `REQUEST_FINISHED`, `REF_NOT_FOUND`. */
  cancel(ref: string, by: 'caller' | 'signal' = 'caller'): void {
    const { backlog, observers, name } = this.#parts;
    if (this.#life.service.active?.ref === ref)
      throw new AgentFlowError('REQUEST_CURRENT', 'The request is being answered');
    const request = backlog.remove(ref);
    if (request === undefined) {
      const outcome = this.#kept(ref);
      if (!outcome.ok && outcome.error.code === 'REQUEST_CANCELLED') return;
      throw new AgentFlowError('REQUEST_FINISHED', 'The request has been answered already');
    }
    observers.tell(name, { type: 'turn.cancelled', by, ...factsOf(request) });
    this.#life.service.tellDepth();
    const error = new AgentFlowError('REQUEST_CANCELLED', 'The request was cancelled');
    this.#life.service.settle(request, failed(error));
  }

  halt(): void {
    this.#life.service.askHalt();
    this.#life.wake();
  }

  resume(): void {
    this.#life.service.resume();
  }

  /** Finishes the turn in flight, then ends. Rejects with `AGENT_TERMINATED` when it ended otherwise meanwhile. */
  async drain(reason: 'drained' | 'closed'): Promise<void> {
    const ended = await this.#life.drain(reason);
    if (ended !== reason && reason === 'drained') throw terminated(this.#parts.name, ended);
  }

  /** Ends at once. */
  async end(reason: EndReason, cause?: unknown): Promise<void> {
    await this.#life.end(reason, cause);
  }

  /** A fresh backend session; state and queue stay. Throws `AGENT_BUSY` while anything goes on, `BACKEND_START_FAILED`. */
  async resetSession(): Promise<void> {
    this.#assertOpen();
    const { name, backend, record, memory, sessionOptions } = this.#parts;
    const { lastCallbacks } = this.#life;
    if (lastCallbacks !== undefined) await lastCallbacks;
    if (this.#life.isBusy) throw new AgentFlowError('AGENT_BUSY', `The agent "${name}" is busy`);
    await this.#life.alone(async () => {
      const { cycle, stance } = this.#parts;
      const fresh = await opened(backend, () => backend.startSession(sessionOptions));
      // Whoever ended the agent meanwhile has ended the session that it had.
      const left = stance.isAlive ? cycle.session : fresh;
      if (stance.isAlive) cycle.replaceSession(fresh);
      await closed(backend, left);
      this.#assertOpen();
      record.sessionId = undefined;
      memory?.put('sessionId', null);
      memory?.clear('messages');
      await this.saved();
    });
  }

  /** The request, while it is not answered. Nobody answers one of an agent that has ended. */
  #find(ref: string): Request | undefined {
    if (!this.#parts.stance.isAlive) return undefined;
    const { active } = this.#life.service;
    return active?.ref === ref ? active : this.#parts.backlog.find(ref);
  }

  #kept(ref: string): TurnOutcome {
    const { book, stance } = this.#parts;
    const outcome = book.get(ref);
    if (outcome === undefined && !stance.isAlive) this.#assertOpen();
    if (outcome === undefined)
      throw new AgentFlowError('REF_NOT_FOUND', 'There is no such request, or its result is no longer kept');
    return outcome;
  }

  #assertOpen(): void {
    const { stance, name } = this.#parts;
    if (stance.endReason !== undefined) throw terminated(name, stance.endReason);
    if (stance.endsAs !== undefined) throw draining(name);
  }
}
