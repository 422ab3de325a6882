/** Everything that waits for one agent: prompts, notifications, the self-chain slot; bounded, and remembered in order. */
import type { Prompt } from '../backends/backend.js';
import type { AgentFlowError } from '../errors.js';
import { Deferred } from '../internal/deferred.js';
import type { Origin } from './behaviour.js';
import { OverloadedError, type OverloadFacts } from './host-errors.js';
import type { AgentMemory } from './memory.js';
import type { Policies } from './options.js';
import { Queue, type QueueLimits } from './queue.js';
import { bytesOf, type Following, hasCaller, type Request } from './request.js';

/** Something that was notified and not yet heard. */
export interface Notification {
  readonly ref: string;
  readonly order: number;
  readonly bytes: number;
  readonly event: unknown;
  /** Resolved when it has been heard, rejected when it never will be. */
  readonly heard: Deferred<void> | undefined;
}

const nobody: Following = {};

/** What waits for one agent. Made of nothing while nothing waits. */
export class Mailbox {
  readonly #memory: AgentMemory | undefined;
  readonly #limits: Pick<Policies, 'prompts' | 'notifications'>;
  #prompts: Queue<Request> | undefined;
  #notifications: Queue<Notification> | undefined;
  /** Those who wait for a notification that was taken, and is not remembered as heard yet. */
  #listeners: Deferred<void>[] | undefined;
  #chain: Request | undefined;
  #order = 0;

  constructor(limits: Pick<Policies, 'prompts' | 'notifications'>, memory: AgentMemory | undefined) {
    this.#limits = limits;
    this.#memory = memory;
  }

  get prompts(): number {
    return this.#prompts?.size ?? 0;
  }

  get notifications(): number {
    return this.#notifications?.size ?? 0;
  }

  get chain(): Request | undefined {
    return this.#chain;
  }

  get nextPrompt(): Request | undefined {
    return this.#prompts?.peek();
  }

  get nextNotification(): Notification | undefined {
    return this.#notifications?.peek();
  }

  /** A request of its own place in the order; it is remembered, and stands nowhere yet. */
  newRequest(origin: Origin, prompt: Prompt, following: Following = nobody): Request {
    const request = {
      ref: crypto.randomUUID(),
      order: ++this.#order,
      bytes: bytesOf(prompt),
      origin,
      prompt,
      following,
      attempt: 1,
      waiting: undefined,
      notBefore: undefined,
    };
    if (hasCaller(request)) this.#write(request);
    else this.remember(request);
    return request;
  }

  /** What comes from here on comes after that, which an earlier process had. */
  goOnAfter(order: number): void {
    this.#order = Math.max(this.#order, order);
  }

  restored(request: Omit<Request, 'bytes' | 'following' | 'waiting' | 'notBefore'>): Request {
    this.goOnAfter(request.order);
    return { ...request, bytes: bytesOf(request.prompt), following: nobody, waiting: undefined, notBefore: undefined };
  }

  /** A prompt that the agent's own work has led to. */
  remember(request: Request): void {
    this.#memory?.together(() => this.#write(request));
  }

  /** The request has been answered, or never will be. */
  forget(request: Request): void {
    const forget = () => this.#memory?.remove('requests', request.order);
    // One of the agent's own may not be written yet.
    if (hasCaller(request)) forget();
    else this.#memory?.together(forget);
  }

  /** Throws an {@link OverloadedError} when a prompt of that text could not wait. */
  assertRoom(prompt: Prompt): void {
    assertFits('prompts', this.#prompts, bytesOf(prompt), this.#limits.prompts);
  }

  queue(request: Request): void {
    this.#prompts ??= new Queue();
    this.#prompts.push(request);
  }

  takePrompt(): Request | undefined {
    return this.#prompts?.shift();
  }

  /** A prompt that waits, or the chained attempt at one. */
  find(ref: string): Request | undefined {
    return this.#chain?.ref === ref ? this.#chain : this.#prompts?.get(ref);
  }

  remove(ref: string): Request | undefined {
    if (this.#chain?.ref === ref) return this.takeChain();
    return this.#prompts?.remove(ref);
  }

  /** Every prompt that waits, the chain first; nothing waits any more. */
  clear(): Request[] {
    const chain = this.takeChain();
    return [...(chain === undefined ? [] : [chain]), ...(this.#prompts?.clear() ?? [])];
  }

  /** Those that would rather fail than wait for a resume. */
  takeImpatient(): Request[] {
    const items = this.#prompts?.items() ?? [];
    const impatient = items.filter(({ following }) => following.onHalt === 'fail');
    for (const { ref } of impatient) this.#prompts?.remove(ref);
    return impatient;
  }

  setChain(request: Request): void {
    this.#chain = request;
    this.#memory?.together(() => this.#memory?.put('chain', request.order));
  }

  takeChain(): Request | undefined {
    const chain = this.#chain;
    this.#chain = undefined;
    if (chain !== undefined) this.#memory?.together(() => this.#memory?.put('chain', null));
    return chain;
  }

  /** Throws an {@link OverloadedError}, unless it is heard at once and so never waits. */
  notify(event: unknown, options: { readonly isHeardAtOnce: boolean; readonly isAwaited: boolean }): Notification {
    const bytes = bytesOf(event);
    if (!options.isHeardAtOnce) assertFits('notifications', this.#notifications, bytes, this.#limits.notifications);
    const order = ++this.#order;
    const heard = options.isAwaited ? new Deferred<void>() : undefined;
    const notification = { ref: String(order), order, bytes, event, heard };
    this.#memory?.add('notifications', order, event ?? null);
    this.#notifications ??= new Queue();
    this.#notifications.push(notification);
    return notification;
  }

  restoreNotification(order: number, event: unknown): void {
    this.goOnAfter(order);
    this.#notifications ??= new Queue();
    this.#notifications.push({ ref: String(order), order, bytes: bytesOf(event), event, heard: undefined });
  }

  takeNotification(): Notification | undefined {
    const notification = this.#notifications?.shift();
    if (notification?.heard !== undefined) {
      this.#listeners ??= [];
      this.#listeners.push(notification.heard);
    }
    return notification;
  }

  /** What was taken has been heard, for good. */
  tellListeners(): void {
    for (const listener of this.#listeners ?? []) listener.resolve();
    this.#listeners = undefined;
  }

  /** Nobody knows what became of what was taken. */
  refuseListeners(error: AgentFlowError): void {
    for (const listener of this.#listeners ?? []) listener.reject(error);
    this.#listeners = undefined;
  }

  /** It has been heard, or never will be. */
  forgetNotification({ order }: Notification): void {
    this.#memory?.together(() => this.#memory?.remove('notifications', order));
  }

  clearNotifications(): Notification[] {
    const cleared = this.#notifications?.clear() ?? [];
    for (const notification of cleared) this.forgetNotification(notification);
    return cleared;
  }

  #write({ order, ref, origin, prompt, attempt }: Request): void {
    this.#memory?.add('requests', order, { ref, origin, prompt, attempt });
  }
}

function assertFits(
  name: OverloadFacts['queue'],
  queue: Queue<Request> | Queue<Notification> | undefined,
  incomingBytes: number,
  limits: QueueLimits,
): void {
  const { size: pendingCount = 0, bytes: pendingBytes = 0 } = queue ?? {};
  const limit = pendingCount >= limits.maxCount ? 'count' : 'bytes';
  const fits = queue?.hasRoomFor(incomingBytes, limits) ?? (limits.maxCount > 0 && incomingBytes <= limits.maxBytes);
  if (!fits) throw new OverloadedError({ queue: name, limit, pendingCount, pendingBytes, incomingBytes, ...limits });
}
