/** One named agent as its host asks it: nothing here waits for a callback. */
import type { Prompt, Response } from '../backends/backend.js';
import { AgentFlowError } from '../errors.js';
import { ActorLoop } from './actor-loop.js';
import type { AgentBeginning, AgentParts, AgentStatus, RuntimeSnapshot } from './actor-parts.js';
import { closeSession, startSession } from './backend-sessions.js';
import type { EndReason, TurnOutcome } from './behaviour.js';
import { Callbacks } from './callbacks.js';
import { draining, halted, terminated } from './host-errors.js';
import { type BudgetStatus, Ledger } from './ledger.js';
import { Lifecycle } from './lifecycle.js';
import type { RunningParts } from './processor.js';
import { type AgentRecord, ResultBook } from './record.js';
import { answerOf, type Following, failed, type Request } from './request.js';
import { factsOf, TurnCycle } from './turn-cycle.js';

/** Of this process. */
let lives = 0;

/** One named agent. */
export class Actor {
  readonly #number = ++lives;
  readonly #parts: RunningParts;
  readonly #loop: ActorLoop;

  /** What the agent begins with is not kept. */
  constructor(parts: AgentParts, { state, session, results, isHalted }: AgentBeginning) {
    const callbacks = new Callbacks(parts, state);
    // A turn that was left behind is finished first.
    const whenHalted = parts.lost === undefined ? 'halted' : 'idle, to halt';
    const lifecycle = new Lifecycle(isHalted ? whenHalted : 'idle', parts);
    const book = new ResultBook(parts.policies.tellResults);
    for (const { ref, order, outcome } of results) book.add(ref, outcome, order);
    // One object for all that an agent is made of: a hundred thousand of them are held.
    const own = Object.assign(parts, { callbacks, lifecycle, book });
    this.#parts = Object.assign(own, { cycle: new TurnCycle(own, session) });
    this.#loop = new ActorLoop(this.#parts);
  }

  /** Begins: what waits already is served. */
  begin(resumed: boolean): void {
    const { observers, name } = this.#parts;
    observers.tell(name, { type: 'agent.started', resumed });
    observers.tell(name, { type: 'state.changed', from: undefined, to: 'idle' });
    this.#loop.wake();
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
    const { name, lifecycle, mailbox, callbacks } = this.#parts;
    return {
      name,
      state: lifecycle.isProcessing ? 'processing' : 'idle',
      halted: lifecycle.isHalted,
      queued: mailbox.prompts,
      currentRequest: this.#loop.processor.active?.ref,
      agentState: callbacks.state,
    };
  }

  get snapshot(): RuntimeSnapshot {
    const { mailbox, clock, policies, lifecycle, cycle } = this.#parts;
    const { active } = this.#loop.processor;
    const elapsedMs = lifecycle.isProcessing ? clock.now() - cycle.startedAt : 0;
    return {
      phase: lifecycle.isProcessing ? 'processing' : 'idle',
      halted: lifecycle.isHalted,
      haltPending: lifecycle.isToHalt,
      draining: lifecycle.endsAs !== undefined,
      pendingPrompts: mailbox.prompts,
      pendingNotifications: mailbox.notifications,
      selfChainPending: mailbox.chain !== undefined,
      currentRequest: active && { ...factsOf(active), elapsedMs, watchdogMs: policies.watchdogMs },
    };
  }

  /** Takes a prompt. Throws what refuses it: overloaded, draining, halted, ended. */
  admit(origin: 'ask' | 'tell', prompt: Prompt, following: Following): Request {
    this.#assertOpen();
    if (this.#parts.lifecycle.isHalted && following.onHalt === 'fail') throw halted(this.#parts.name);
    const { mailbox, observers, name } = this.#parts;
    const { isFree } = this.#loop;
    if (!isFree) mailbox.assertRoom(prompt);
    const request = mailbox.newRequest(origin, prompt, following);
    if (isFree) this.#loop.take(request);
    else {
      mailbox.queue(request);
      observers.tell(name, { type: 'mailbox.queued', depth: mailbox.prompts });
      this.#loop.wake();
    }
    return request;
  }

  /** Resolves when what was taken so far is in the store, where there is one. An agent that cannot be remembered ends. */
  async saved(): Promise<void> {
    try {
      await this.#parts.memory?.flush();
    } catch (error) {
      this.#loop.crash(error);
      throw error;
    }
  }

  /** It was taken, and its turn has not come. */
  isWaiting(ref: string): boolean {
    return this.#loop.processor.active?.ref !== ref && this.#parts.mailbox.find(ref) !== undefined;
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
    const { mailbox, observers, name } = this.#parts;
    const isDeferred = this.#loop.isBusy;
    const notification = mailbox.notify(event, { isHeardAtOnce: !isDeferred, isAwaited });
    const told = observers.withContent ? { event } : {};
    observers.tell(name, { type: 'event.received', deferred: isDeferred, ...told });
    this.#loop.wake();
    return { isDeferred, heard: notification.heard?.promise ?? Promise.resolve() };
  }

  /** Cuts the turn in flight; false when there is none. Given a ref: that turn, or throws what stands in the way. */
  interrupt(ref?: string): boolean {
    const active = this.#loop.processor.active;
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
    const { mailbox, observers, name } = this.#parts;
    if (this.#loop.processor.active?.ref === ref)
      throw new AgentFlowError('REQUEST_CURRENT', 'The request is being answered');
    const depth = mailbox.prompts;
    const request = mailbox.remove(ref);
    if (request === undefined) {
      const outcome = this.#kept(ref);
      if (!outcome.ok && outcome.error.code === 'REQUEST_CANCELLED') return;
      throw new AgentFlowError('REQUEST_FINISHED', 'The request has been answered already');
    }
    observers.tell(name, { type: 'turn.cancelled', by, ...factsOf(request) });
    // What was to be tried again has no place in the queue.
    if (mailbox.prompts < depth) this.#loop.processor.tellDepth();
    const error = new AgentFlowError('REQUEST_CANCELLED', 'The request was cancelled');
    this.#loop.processor.settle(request, failed(error));
  }

  halt(): void {
    this.#loop.processor.askHalt();
    this.#loop.wake();
  }

  resume(): void {
    this.#loop.processor.resume();
  }

  /** Finishes the turn in flight, then ends. Rejects with `AGENT_TERMINATED` when it ended otherwise meanwhile. */
  async drain(reason: 'drained' | 'closed'): Promise<void> {
    const ended = await this.#loop.drain(reason);
    if (ended !== reason && reason === 'drained') throw terminated(this.#parts.name, ended);
  }

  /** Ends at once. */
  async end(reason: EndReason, cause?: unknown): Promise<void> {
    await this.#loop.end(reason, cause);
  }

  /** A fresh backend session; state and queue stay. Throws `AGENT_BUSY` while anything goes on, `BACKEND_START_FAILED`. */
  async resetSession(): Promise<void> {
    this.#assertOpen();
    const { name, backend, record, memory, sessionOptions } = this.#parts;
    const { lastCallbacks } = this.#loop;
    if (lastCallbacks !== undefined) await lastCallbacks;
    if (this.#loop.isBusy) throw new AgentFlowError('AGENT_BUSY', `The agent "${name}" is busy`);
    await this.#loop.alone(async () => {
      const { cycle, lifecycle } = this.#parts;
      const fresh = await startSession(backend, sessionOptions);
      // Whoever ended the agent meanwhile has ended the session that it had.
      const left = lifecycle.isAlive ? cycle.session : fresh;
      if (lifecycle.isAlive) cycle.replaceSession(fresh);
      await closeSession(backend, left);
      this.#assertOpen();
      record.sessionId = undefined;
      memory?.put('sessionId', null);
      memory?.clear('messages');
      await this.saved();
    });
  }

  /** The request, while it is not answered. Nobody answers one of an agent that has ended. */
  #find(ref: string): Request | undefined {
    if (!this.#parts.lifecycle.isAlive) return undefined;
    const { processor } = this.#loop;
    if (processor.active?.ref === ref) return processor.active;
    return this.#parts.mailbox.find(ref) ?? processor.answers.findUnsaved(ref);
  }

  #kept(ref: string): TurnOutcome {
    const { book, lifecycle } = this.#parts;
    const outcome = book.get(ref);
    if (outcome === undefined && !lifecycle.isAlive) this.#assertOpen();
    if (outcome === undefined)
      throw new AgentFlowError('REF_NOT_FOUND', 'There is no such request, or its result is no longer kept');
    return outcome;
  }

  #assertOpen(): void {
    const { lifecycle, name } = this.#parts;
    if (lifecycle.endReason !== undefined) throw terminated(name, lifecycle.endReason);
    if (lifecycle.endsAs !== undefined) throw draining(name);
  }
}
