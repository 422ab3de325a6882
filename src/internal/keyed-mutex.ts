/** One holder at a time for each key; those who wait are let in one by one, in the order they came. */
export class KeyedMutex<Holder> {
  readonly #holders = new Map<string, Holder>();
  readonly #waiting = new Map<string, { holder: Holder; enter: () => void }[]>();

  /** Who holds the key now. */
  holder(key: string): Holder | undefined {
    return this.#holders.get(key);
  }

  /** Does anybody wait for the key? */
  isAwaited(key: string): boolean {
    return this.#waiting.has(key);
  }

  /** Waits for the key. Rejects with the signal's reason when that fires first. */
  enter(
    key: string,
    holder: Holder,
    signal: Pick<AbortSignal, 'aborted' | 'reason' | 'addEventListener' | 'removeEventListener'>,
  ): Promise<void> {
    // A signal that has fired already does so never again.
    if (signal.aborted) return Promise.reject(signal.reason);
    if (!this.#holders.has(key)) {
      this.#holders.set(key, holder);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const queue = this.#waiting.get(key) ?? [];
      this.#waiting.set(key, queue);
      const giveUp = () => {
        queue.splice(queue.indexOf(entry), 1);
        if (queue.length === 0) this.#waiting.delete(key);
        reject(signal.reason);
      };
      const entry = {
        holder,
        enter: () => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      queue.push(entry);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Takes the key from whoever holds it, ahead of all who wait; answers the one it was taken from. */
  takeOver(key: string, holder: Holder): Holder | undefined {
    const previous = this.#holders.get(key);
    this.#holders.set(key, holder);
    return previous;
  }

  /** Lets the next one in. Does nothing for a holder that was taken over. */
  leave(key: string, holder: Holder): void {
    if (this.#holders.get(key) !== holder) return;
    const queue = this.#waiting.get(key);
    const next = queue?.shift();
    if (queue?.length === 0) this.#waiting.delete(key);
    if (next === undefined) {
      this.#holders.delete(key);
      return;
    }
    this.#holders.set(key, next.holder);
    next.enter();
  }
}
