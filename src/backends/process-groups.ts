/** The process groups that were started here. However this process ends, they end with it, unless by SIGKILL. */

const living = new Set<number>();

/** Signals that end a process where nobody listens to them, and then no `exit` is told. */
const deadly = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A group has been started. */
export function rememberGroup(pid: number): void {
  if (living.size === 0) {
    process.on('exit', killAll);
    // Before all others, so that those are counted that listen once.
    for (const signal of deadly) process.prependListener(signal, dieOf);
  }
  living.add(pid);
}

/** Nothing is left of a group. */
export function forgetGroup(pid: number): void {
  living.delete(pid);
  if (living.size > 0) return;
  process.off('exit', killAll);
  for (const signal of deadly) process.off(signal, dieOf);
}

/** Whether the group was started here and has not ended. */
export function isRemembered(pid: number): boolean {
  return living.has(pid);
}

/** Answers false when there is no such group. */
export function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

function killAll(): void {
  for (const pid of living) signalGroup(pid, 'SIGKILL');
}

/** Does what the signal would have done without us, after the groups. Where others listen, they decide what it means. */
function dieOf(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  killAll();
  process.off(signal, dieOf);
  process.kill(process.pid, signal);
}
