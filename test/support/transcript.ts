/** What something prints, and waiting for the next thing it should print. */
export class Transcript {
  #text = '';
  #seen = 0;
  #hasEnded = false;
  #waiting: (() => void)[] = [];

  /** Everything so far. */
  get text(): string {
    return this.#text;
  }

  add(text: string): void {
    this.#text += text;
    this.#wake();
  }

  /** There will be no more. */
  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  /** Waits for the text, after what was waited for before. Rejects when everything has ended without it. */
  async until(text: string): Promise<void> {
    for (;;) {
      const at = this.#text.indexOf(text, this.#seen);
      if (at >= 0) {
        this.#seen = at + text.length;
        return;
      }
      if (this.#hasEnded) throw new Error(`It ended before it said ${JSON.stringify(text)}:\n${this.#text}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
