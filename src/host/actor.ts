/** One named agent as its host asks it: nothing here waits for a callback. */
import type { Prompt, Response } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import type { AgentBeginning, AgentParts, AgentStatus, RuntimeSnapshot } from './actor-parts.js';
import type { EndReason, TurnOutcome } from './behaviour.js';
import { factsOf, TurnCycle } from './cycle.js';
import { draining, halted, terminated } from './host-errors.js';
import { Life } from './life.js';
import { Mind } from './mind.js';
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
    const stance = new Stance(isHalted ? 'halted' : 'idle', parts);
    const book = new ResultBook(parts.policies.maxTellResults);
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

  get parts(): AgentParts {
    return this.#parts;
  }

  get status(): AgentStatus {
    return {
      name: this.#parts.name,
      state: this.#parts.stance.phase === 'processing' ? 'processing' : 'idle',
      halted: this.#parts.stance.phase === 'halted',
      queued: this.#parts.backlog.prompts,
      currentRequest: this.#life.service.active?.ref,
      agentState: this.#parts.mind.state,
    };
  }

  get snapshot(): RuntimeSnapshot {
    const { backlog, clock, policies } = this.#parts;
    const { state: phase } = this.status;
    const active = this.#life.service.active;
    const elapsedMs = phase === 'processing' ? clock.now() - this.#parts.cycle.startedAt : 0;
    return {
      phase,
      halted: this.status.halted,
      haltPending: this.#parts.stance.wantsHalt,
      draining: this.#parts.stance.wantsEnd !== undefined,
      pendingPrompts: backlog.prompts,
      pendingNotifications: backlog.notifications,
      selfChainPending: backlog.chain !== undefined,
      currentRequest: active && { ...factsOf(active), elapsedMs, watchdogMs: policies.watchdogMs },
    };
  }

  /** Takes a prompt. Throws what refuses it: overloaded, draining, halted, ended. */
  admit(origin: 'ask' | 'tell', prompt: Prompt, following: Following): Request {
    this.#assertOpen();
    if (this.#parts.stance.phase === 'halted' && following.onHalt === 'fail') throw halted(this.#parts.name);
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
    if (this.#find(ref) !== undefined) return undefined;
    return this.#kept(ref);
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
    if (ref !== undefined && (active?.ref !== ref || !canBeCut))
      throw new AgentFlowError('REQUEST_NOT_CURRENT', 'The turn in flight is not that of this request');
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
    const error = new AgentFlowError('REQUEST_CANCELLED', 'The request was cancelled');
    this.#life.service.settle(request, failed(error));
  }

  halt(): void {
    this.#parts.stance.askHalt();
    this.#life.wake();
  }

  resume(): void {
    this.#life.service.resume();
  }

  drain(reason: 'drained' | 'closed'): Promise<void> {
    return this.#life.drain(reason);
  }

  end(reason: EndReason, cause?: unknown): Promise<void> {
    return this.#life.end(reason, cause);
  }

  /** A fresh backend session; state and queue stay. Throws `AGENT_BUSY` while anything goes on. */
  async resetSession(): Promise<void> {
    this.#assertOpen();
    const { name, backend, record, memory, sessionOptions } = this.#parts;
    if (this.#life.isBusy) throw new AgentFlowError('AGENT_BUSY', `The agent "${name}" is busy`);
    await this.#life.alone(async () => {
      const fresh = await backend.startSession(sessionOptions);
      await backend.terminateSession(this.#parts.cycle.session);
      this.#parts.cycle.replaceSession(fresh);
      record.sessionId = undefined;
      memory?.put('sessionId', null);
      await this.saved();
    });
  }

  /** The request, while it is not answered. */
  #find(ref: string): Request | undefined {
    const { active } = this.#life.service;
    return active?.ref === ref ? active : this.#parts.backlog.find(ref);
  }

  #kept(ref: string): TurnOutcome {
    const outcome = this.#parts.book.get(ref);
    if (outcome === undefined)
      throw new AgentFlowError('REF_NOT_FOUND', 'There is no such request, or its result is no longer kept');
    return outcome;
  }

  #assertOpen(): void {
    const { stance, name } = this.#parts;
    if (!stance.isAlive) throw terminated(name, 'stopped');
    if (stance.wantsEnd !== undefined) throw draining(name);
  }
}
