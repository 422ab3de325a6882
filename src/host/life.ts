/** The life of one agent: the loop that does one thing at a time, in the order of `machine.ts`, and how it ends. */
import { isAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { EndReason } from './behaviour.js';
import { runAsNobody } from './current.js';
import { draining, terminated } from './host-errors.js';
import { nextWork, type Work } from './machine.js';
import { atMost } from './patience.js';
import { answer, failed, type Request } from './request.js';
import { type LifeParts, type Loop, Service } from './service.js';

/** The life of one agent. */
export class Life implements Loop {
  readonly service: Service;
  readonly #parts: LifeParts;
  /** The loop runs, or is about to. */
  #isWorking = false;
  #loop: Promise<void> | undefined;
  #needsPreRun: boolean;
  #ended: Deferred<EndReason> | undefined;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.#needsPreRun = parts.mind.hasPreRun && !parts.hasRun;
    this.service = new Service(parts, this);
  }

  /** Something goes on, be it only a callback. */
  get isBusy(): boolean {
    return this.#isWorking || this.#parts.stance.isProcessing;
  }

  /** A prompt that came now would be taken at once. */
  get isFree(): boolean {
    return this.#parts.stance.phase === 'idle' && !this.#isWorking;
  }

  /** What a halted agent still does, `postRun` or a notification: no turn follows it. `undefined`: nothing. */
  get lastCallbacks(): Promise<void> | undefined {
    return this.#isWorking && this.#parts.stance.isHalted ? this.#loop : undefined;
  }

  /** Takes a request that need not queue. Only when free. */
  take(request: Request): void {
    this.service.admit(request);
    this.wake();
  }

  /** Begins the loop, unless it runs or has nothing to do. */
  wake(): void {
    const { endsAs, isAlive } = this.#parts.stance;
    if (this.#isWorking || !isAlive) return;
    if (endsAs === undefined && this.#nextWork() === 'nothing') return;
    this.#isWorking = true;
    this.#loop = runAsNobody(() => this.#live());
  }

  /** Keeps everything else away while `work` goes on. Only when not busy. */
  async alone(work: () => Promise<void>): Promise<void> {
    this.#isWorking = true;
    try {
      await work();
    } finally {
      this.#isWorking = false;
      this.wake();
    }
  }

  /**
   * Finishes the turn in flight, then ends; answers how it did end. With `drained` all that waits is refused, with `closed`
   * it is kept.
   */
  drain(reason: 'drained' | 'closed'): Promise<EndReason> {
    const { name, stance, backlog } = this.#parts;
    this.#ended ??= new Deferred();
    if (stance.endsAs !== undefined || !stance.isAlive) return this.#ended.promise;
    stance.askEnd(reason);
    if (reason === 'drained') {
      const error = draining(name);
      for (const request of this.#takeAll()) this.service.settle(request, failed(error));
      for (const { heard } of backlog.clearNotifications()) heard?.reject(error);
    }
    this.wake();
    return this.#ended.promise;
  }

  crash(cause: unknown): void {
    void this.end('crashed', cause);
  }

  /** Ends at once: the turn is cut, everybody who waits is told, `terminate` runs, the backend's session is ended. */
  async end(reason: EndReason, cause?: unknown): Promise<EndReason> {
    const { name, mind, cycle, backlog, backend, memory, observers, stance, clock, policies, onEnd } = this.#parts;
    const within = (work: Promise<unknown>) => atMost(policies.shutdownMs, work, clock);
    this.#ended ??= new Deferred();
    if (!stance.end(reason)) return this.#ended.promise;
    // What waits goes on in the next process: nothing of the end is remembered.
    if (reason === 'closed' || reason === 'crashed') memory?.seal();
    const error = terminated(name, reason, cause);
    cycle.cut(error);
    const { active } = this.service;
    for (const request of [...(active === undefined ? [] : [active]), ...this.#takeAll()])
      answer(name, request, failed(error));
    for (const { heard } of backlog.clearNotifications()) heard?.reject(error);
    backlog.refuseListeners(error);
    if (this.#loop !== undefined) await within(this.#loop);
    await within(mind.terminate(reason));
    await within((async () => backend.terminateSession(cycle.session))());
    await onEnd(this.#parts, reason, cause);
    observers.tell(name, { type: 'terminated', reason, ...(isAgentFlowError(cause) ? { code: cause.code } : {}) });
    this.#ended.resolve(reason);
    return reason;
  }

  /** All prompts that wait; nothing waits any more. */
  #takeAll(): readonly Request[] {
    const { backlog } = this.#parts;
    const hadPrompts = backlog.prompts > 0;
    const taken = backlog.clear();
    if (hadPrompts) this.service.tellDepth();
    return taken;
  }

  async #live(): Promise<void> {
    const { stance } = this.#parts;
    // Whoever woke the loop has its answer first.
    await undefined;
    try {
      for (;;) {
        const work = this.#nextWork();
        const goesOn = this.#goesOn(work);
        // Who is answered finds the agent as it is: free, if nothing waits.
        this.#isWorking = goesOn;
        this.service.tellAnswers();
        if (!goesOn) break;
        await this.#do(work as Exclude<Work, 'nothing'>);
      }
      if (stance.endsAs === undefined || !stance.isAlive) return;
      this.#loop = undefined;
      void this.end(stance.endsAs);
    } catch (error) {
      this.#isWorking = false;
      this.#loop = undefined;
      void this.end('crashed', error);
    }
  }

  #goesOn(work: Work): boolean {
    const { endsAs, isAlive } = this.#parts.stance;
    if (!isAlive || work === 'nothing') return false;
    // An agent that is to end finishes what it has begun.
    return endsAs === undefined || work === 'admitted' || work === 'halt';
  }

  #nextWork(): Work {
    const { backlog, clock, stance } = this.#parts;
    const { chain } = backlog;
    return nextWork(stance.phase, {
      preRun: this.#needsPreRun,
      admitted: this.service.admitted !== undefined,
      selfChain: chain !== undefined && (chain.notBefore === undefined || chain.notBefore <= clock.now()),
      notification: backlog.nextNotification?.order,
      prompt: backlog.nextPrompt?.order,
    });
  }

  #do(work: Exclude<Work, 'nothing'>): Promise<void> {
    switch (work) {
      case 'preRun':
        return this.#preRun();
      case 'admitted':
        return this.service.serveAdmitted();
      case 'halt':
        return this.service.halt();
      case 'selfChain':
        return this.service.serveChain();
      case 'notification':
        return this.service.hear();
      case 'prompt':
        return this.service.servePrompt();
    }
  }

  async #preRun(): Promise<void> {
    await this.service.preRun();
    this.#needsPreRun = false;
  }
}
