/**
 * The right to write one session, until it is released or another owner takes it: when it has expired, or by takeover.
 * One that has expired unnoticed still writes, which is safe: whoever takes it gets a higher fence.
 */
export interface SessionLease {
  readonly sessionId: string;
  /** Names this holder; unique to one run. */
  readonly owner: string;
  /** Grows with every acquisition. Checked in the same statement as the write, so a frozen holder cannot write late. */
  readonly fence: number;
}
