/** Runs a program to its end. */
import { execFile } from 'node:child_process';

/** What a program left behind. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where npm tells the scripts it runs about the package it runs them for; a program about another one must not know. */
const npmScriptVariable = /^npm_(package|lifecycle|config_local_prefix)/;

/** Runs a program in a folder, without what an `npm run` above it left in the environment. Never rejects. */
export function run(command: string, args: readonly string[], cwd: string): Promise<Outcome> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !npmScriptVariable.test(name)));
  return new Promise((settle) => {
    execFile(command, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      settle({ exitCode, stdout, stderr: error !== null && stderr === '' ? error.message : stderr });
    });
  });
}

/** Runs a program that must succeed, and answers what it printed. */
export async function output(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args, cwd);
  if (exitCode !== 0) throw new Error(`${command} ${args.join(' ')} exited ${exitCode}\n${stdout}\n${stderr}`);
  return stdout;
}
