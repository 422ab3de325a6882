import type { Subscription } from '../../src/session/notices.js';
import { quiet } from './waiting.js';

/** Subscriptions through which a test can tell. */
export class TestSubscriptions {
  readonly opened: { tell(token: string | undefined): void; breakDown(): void; isStopped: boolean }[] = [];
  /** Thrown by the next opening. */
  failure: unknown;

  readonly subscribe = async (
    onTold: (token: string | undefined) => void,
    onEnd: () => void,
  ): Promise<Subscription> => {
    await quiet();
    if (this.failure !== undefined) throw this.failure;
    const opened = { tell: onTold, breakDown: onEnd, isStopped: false };
    this.opened.push(opened);
    return {
      stop: () => {
        opened.isStopped = true;
      },
    };
  };
}
