/** The loop of one agent, which does one thing at a time, in the order of `machine.ts`; and how it ends. */
import { isAgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { EndReason } from './behaviour.js';
import { runAsNobody } from './current.js';
import { draining, terminated } from './host-errors.js';
import { nextWork, type Work } from './machine.js';
import { type Loop, Processor, type RunningParts } from './processor.js';
import { answer, failed, type Request } from './request.js';
import { settledWithin } from './timeouts.js';

/** The loop of one agent. */
export class ActorLoop implements Loop {
  readonly processor: Processor;
  readonly #parts: RunningParts;
  /** The loop runs, or is about to. */
  #isWorking = false;
  #running: Promise<void> | undefined;
  #needsPreRun: boolean;
  #ended: Deferred<EndReason> | undefined;

  constructor(parts: RunningParts) {
    this.#parts = parts;
    this.#needsPreRun = parts.callbacks.hasPreRun && !parts.hasRun;
    this.processor = new Processor(parts, this);
  }

  /** Something goes on, be it only a callback. */
  get isBusy(): boolean {
    return this.#isWorking || this.#parts.lifecycle.isProcessing;
  }

  /** A prompt that came now would be taken at once. */
  get isFree(): boolean {
    return this.#parts.lifecycle.phase === 'idle' && !this.#isWorking;
  }

  /** What a halted agent still does, `postRun` or a notification: no turn follows it. `undefined`: nothing. */
  get lastCallbacks(): Promise<void> | undefined {
    return this.#isWorking && this.#parts.lifecycle.isHalted ? this.#running : undefined;
  }

  /** Takes a request that need not queue. Only when free. */
  take(request: Request): void {
    this.processor.admit(request);
    this.wake();
  }

  /** Begins the loop, unless it runs or has nothing to do. */
  wake(): void {
    const { endsAs, isAlive } = this.#parts.lifecycle;
    if (this.#isWorking || !isAlive) return;
    if (endsAs === undefined && this.#nextWork() === 'nothing') return;
    this.#isWorking = true;
    this.#running = runAsNobody(() => this.#run());
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
    const { name, lifecycle, mailbox } = this.#parts;
    this.#ended ??= new Deferred();
    if (lifecycle.endsAs !== undefined || !lifecycle.isAlive) return this.#ended.promise;
    lifecycle.askEnd(reason);
    if (reason === 'drained') {
      const error = draining(name);
      for (const request of this.#takeAll()) this.processor.settle(request, failed(error));
      for (const { heard } of mailbox.clearNotifications()) heard?.reject(error);
    }
    this.wake();
    return this.#ended.promise;
  }

  crash(cause: unknown): void {
    void this.end('crashed', cause);
  }

  /** Ends at once: the turn is cut, everybody who waits is told, `terminate` runs, the backend's session is ended. */
  async end(reason: EndReason, cause?: unknown): Promise<EndReason> {
    const { name, callbacks, cycle, mailbox, backend, memory, observers, lifecycle, clock, policies, onEnd } =
      this.#parts;
    const within = (work: Promise<unknown>) => settledWithin(policies.shutdownMs, work, clock);
    this.#ended ??= new Deferred();
    if (!lifecycle.end(reason)) return this.#ended.promise;
    // What waits goes on in the next process: nothing of the end is remembered.
    if (reason === 'closed' || reason === 'crashed') memory?.seal();
    const error = terminated(name, reason, cause);
    cycle.cut(error);
    for (const request of this.#takeUnanswered()) answer(name, request, failed(error));
    for (const { heard } of mailbox.clearNotifications()) heard?.reject(error);
    mailbox.refuseListeners(error);
    if (this.#running !== undefined) await within(this.#running);
    await within(callbacks.terminate(reason));
    await within((async () => backend.terminateSession(cycle.session))());
    await onEnd(this.#parts, reason, cause);
    observers.tell(name, { type: 'terminated', reason, ...(isAgentFlowError(cause) ? { code: cause.code } : {}) });
    this.#ended.resolve(reason);
    return reason;
  }

  /** Everybody's who waits for an answer; one that is about to be tried again is there twice, and waits once. */
  #takeUnanswered(): readonly Request[] {
    const { active } = this.processor;
    const waiting = this.#takeAll();
    return active === undefined || waiting.some(({ ref }) => ref === active.ref) ? waiting : [active, ...waiting];
  }

  /** All prompts that wait; nothing waits any more. */
  #takeAll(): readonly Request[] {
    const { mailbox } = this.#parts;
    const hadPrompts = mailbox.prompts > 0;
    const taken = mailbox.clear();
    if (hadPrompts) this.processor.tellDepth();
    return taken;
  }

  async #run(): Promise<void> {
    const { lifecycle } = this.#parts;
    // Whoever woke the loop has its answer first.
    await undefined;
    try {
      for (;;) {
        const work = this.#nextWork();
        const goesOn = this.#goesOn(work);
        // Who is answered finds the agent as it is: free, if nothing waits.
        this.#isWorking = goesOn;
        this.processor.answers.tellDeferred();
        if (!goesOn) break;
        await this.#do(work as Exclude<Work, 'nothing'>);
      }
      if (lifecycle.endsAs === undefined || !lifecycle.isAlive) return;
      this.#running = undefined;
      void this.end(lifecycle.endsAs);
    } catch (error) {
      this.#isWorking = false;
      this.#running = undefined;
      void this.end('crashed', error);
    }
  }

  #goesOn(work: Work): boolean {
    const { endsAs, isAlive } = this.#parts.lifecycle;
    if (!isAlive || work === 'nothing') return false;
    // An agent that is to end finishes what it has begun.
    return endsAs === undefined || work === 'admitted' || work === 'halt';
  }

  #nextWork(): Work {
    const { mailbox, clock, lifecycle } = this.#parts;
    const { chain } = mailbox;
    return nextWork(lifecycle.phase, {
      preRun: this.#needsPreRun,
      admitted: this.processor.admitted !== undefined,
      selfChain: chain !== undefined && (chain.notBefore === undefined || chain.notBefore <= clock.now()),
      notification: mailbox.nextNotification?.order,
      prompt: mailbox.nextPrompt?.order,
    });
  }

  #do(work: Exclude<Work, 'nothing'>): Promise<void> {
    switch (work) {
      case 'preRun':
        return this.#preRun();
      case 'admitted':
        return this.processor.serveAdmitted();
      case 'halt':
        return this.processor.halt();
      case 'selfChain':
        return this.processor.serveChain();
      case 'notification':
        return this.processor.hear();
      case 'prompt':
        return this.processor.servePrompt();
    }
  }

  async #preRun(): Promise<void> {
    await this.processor.preRun();
    this.#needsPreRun = false;
  }
}
