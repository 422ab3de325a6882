/** Sees to it that what a test has started does not outlive it, not even when the test is killed. */
import { type ChildProcess, spawn } from 'node:child_process';

/** Kills the process, and removes the folder it worked in, when this process ends, however it ends. */
export function dieWithUs(child: ChildProcess, signal: 'KILL' | 'QUIT' = 'KILL', folder = ''): void {
  if (child.pid === undefined) return;
  const will = [`kill -CONT ${child.pid}`, `kill -${signal} ${child.pid}`];
  if (folder !== '') will.push(`while kill -0 ${child.pid}; do sleep 0.1; done`, 'rm -rf "$0"');
  // It reads from us until we are gone; a signal to our whole group does not reach it.
  const heir = spawn('sh', ['-c', `cat; ${will.join('; ')}`, folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  heir.stdin.on('error', () => {});
  heir.unref();
  child.once('exit', () => heir.kill('SIGKILL'));
}
