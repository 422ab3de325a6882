/** Sees to it that what a test has started does not outlive it, not even when the test is killed. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Lets the process be killed when this one ends, however it ends. */
export function dieWithUs(child: ChildProcess, signal: 'KILL' | 'QUIT' = 'KILL'): void {
  if (child.pid === undefined) return;
  // It reads from us until we are gone; a signal to our whole group does not reach it.
  const heir = spawn('sh', ['-c', `cat; kill -CONT ${child.pid}; kill -${signal} ${child.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  heir.stdin.on('error', () => {});
  heir.unref();
  child.once('exit', () => heir.kill('SIGKILL'));
}
