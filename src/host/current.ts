/** Which agent's callback is running: known to everything it calls, however deep and however async. */
import { AsyncLocalStorage } from 'node:async_hooks';

interface Running {
  readonly name: string;
  /** What a callback leaves running behind it is no longer the callback. */
  isOver: boolean;
}

const running = new AsyncLocalStorage<Running>();

/** The name of the agent whose callback, or turn, this is called from; `undefined` elsewhere. */
export function currentName(): string | undefined {
  const current = running.getStore();
  return current?.isOver === false ? current.name : undefined;
}

/** Runs work as part of an agent. */
export async function runAs<T>(name: string, work: () => T | PromiseLike<T>): Promise<T> {
  const own = { name, isOver: false };
  try {
    return await running.run(own, work);
  } finally {
    own.isOver = true;
  }
}

/** Runs work as part of nobody: what an agent's own loop does between callbacks was not begun by who woke it. */
export function runAsNobody<T>(work: () => T): T {
  return running.exit(work);
}
