/** The life of one agent: the loop that does one thing at a time, in the order of `machine.ts`, and how it ends. */
import { isAgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { Deferred } from '../internal/deferred.js';
import type { EndReason } from './behaviour.js';
import { runAsNobody } from './current.js';
import { draining, terminated } from './host-errors.js';
import { nextWork, type Work } from './machine.js';
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
  #ended: Deferred<void> | undefined;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.#needsPreRun = parts.mind.hasPreRun && !parts.hasRun;
    this.service = new Service(parts, this);
  }

  /** Something goes on, be it only a callback. */
  get isBusy(): boolean {
    return this.#isWorking || this.#parts.stance.phase === 'processing';
  }

  /** A prompt that came now would be taken at once. */
  get isFree(): boolean {
    return this.#parts.stance.phase === 'idle' && !this.#isWorking;
  }

  /** Takes a request that need not queue. Only when free. */
  take(request: Request): void {
    this.service.admit(request);
    this.wake();
  }

  /** Begins the loop, unless it runs or has nothing to do. */
  wake(): void {
    const { wantsEnd } = this.#parts.stance;
    if (this.#isWorking || !this.#parts.stance.isAlive) return;
    if (wantsEnd === undefined && this.#nextWork() === 'nothing') return;
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

  /** Finishes the turn in flight, then ends. With `drained` all that waits is refused; with `closed` it is kept. */
  drain(reason: 'drained' | 'closed'): Promise<void> {
    const { name, stance, backlog } = this.#parts;
    this.#ended ??= new Deferred();
    if (stance.wantsEnd !== undefined || !stance.isAlive) return this.#ended.promise;
    stance.askEnd(reason);
    if (reason === 'drained') {
      const error = draining(name);
      for (const request of backlog.clear()) this.service.settle(request, failed(error));
      for (const { heard } of backlog.clearNotifications()) heard?.reject(error);
    }
    this.wake();
    return this.#ended.promise;
  }

  crash(cause: unknown): void {
    void this.end('crashed', cause);
  }

  /** Ends at once: the turn is cut, everybody who waits is told, `terminate` runs, the backend's session is ended. */
  async end(reason: EndReason, cause?: unknown): Promise<void> {
    const { name, mind, cycle, backlog, backend, memory, observers, stance, clock, policies, onEnd } = this.#parts;
    const within = (work: Promise<unknown>) => waitFor(work, clock, policies.shutdownMs);
    this.#ended ??= new Deferred();
    if (!stance.isAlive) return this.#ended.promise;
    stance.step('end');
    // What waits goes on in the next process: nothing of the end is remembered.
    if (reason === 'closed' || reason === 'crashed') memory?.seal();
    const error = terminated(name, reason, cause);
    cycle.cut(error);
    const { active } = this.service;
    for (const request of [...(active === undefined ? [] : [active]), ...backlog.clear()])
      answer(name, request, failed(error));
    for (const { heard } of backlog.clearNotifications()) heard?.reject(error);
    if (this.#loop !== undefined) await within(this.#loop);
    await within(mind.terminate(reason));
    await within((async () => backend.terminateSession(cycle.session))());
    await onEnd(this.#parts, reason, cause);
    observers.tell(name, { type: 'terminated', reason, ...(isAgentFlowError(cause) ? { code: cause.code } : {}) });
    this.#ended.resolve();
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
      if (stance.wantsEnd === undefined || !stance.isAlive) return;
      this.#loop = undefined;
      void this.end(stance.wantsEnd);
    } catch (error) {
      this.#isWorking = false;
      this.#loop = undefined;
      void this.end('crashed', error);
    }
  }

  #goesOn(work: Work): boolean {
    const { wantsEnd, isAlive } = this.#parts.stance;
    return isAlive && work !== 'nothing' && (wantsEnd === undefined || work === 'admitted');
  }

  #nextWork(): Work {
    const { backlog, clock, stance } = this.#parts;
    const { chain } = backlog;
    return nextWork(stance.phase, {
      preRun: this.#needsPreRun,
      halt: stance.wantsHalt,
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

/** Waits for work, at most so long; never rejects. */
function waitFor(work: Promise<unknown>, clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve, { keepAlive: true });
    const done = () => {
      cancel();
      resolve();
    };
    work.then(done, done);
  });
}
