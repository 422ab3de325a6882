import type { SendReceipt } from '../../schemas/index.js';

/** The ids of inputs that were sent, the newest ones, and what their senders were told. */
export class KnownIds {
  readonly #limit: number;
  readonly #receipts = new Map<string, Promise<SendReceipt>>();
  /** Kept, as a new look for the oldest would begin with all that were deleted before it. */
  readonly #oldestFirst = this.#receipts.keys();

  /** @param limit how many are known */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get(id: string): Promise<SendReceipt> | undefined {
    return this.#receipts.get(id);
  }

  /** Until there are too many newer ones, or the input is refused: then it was not accepted, and may be sent again. */
  remember(id: string, receipt: Promise<SendReceipt>): void {
    this.#receipts.set(id, receipt);
    receipt.catch(() => {
      if (this.#receipts.get(id) === receipt) this.#receipts.delete(id);
    });
    if (this.#receipts.size <= this.#limit) return;
    const oldest = this.#oldestFirst.next().value;
    if (oldest !== undefined) this.#receipts.delete(oldest);
  }
}
