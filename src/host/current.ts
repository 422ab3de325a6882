/** Which agent's callback is running: known to everything it calls, however deep and however async. */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Whose callback it is. */
export interface Runner {
  readonly name: string;
  /** Its host: two hosts may each have an agent of the same name. */
  readonly owner: string;
}

interface Running extends Runner {
  /** What a callback leaves running behind it is no longer the callback. */
  isOver: boolean;
}

const running = new AsyncLocalStorage<Running>();

/** The name of the agent whose callback, or turn, this is called from; `undefined` elsewhere. */
export function currentName(): string | undefined {
  return current()?.name;
}

/** {@link currentName}, where the agent is one of this host. */
export function currentNameIn(owner: string): string | undefined {
  const runner = current();
  return runner?.owner === owner ? runner.name : undefined;
}

/** Runs work as part of an agent. */
export async function runAs<T>({ name, owner }: Runner, work: () => T | PromiseLike<T>): Promise<T> {
  const own = { name, owner, isOver: false };
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

function current(): Runner | undefined {
  const runner = running.getStore();
  return runner?.isOver === false ? runner : undefined;
}
