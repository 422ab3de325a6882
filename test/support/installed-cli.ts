/** Vendors' CLIs that this machine has. They are too large for a devDependency (Claude Code 361 MB, Codex 404 MB installed). */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The CLI a variable or PATH names, or the reason why there is none. */
export function installedCli(name: string, variable: string): { readonly path?: string; readonly missing: string } {
  const named = process.env[variable];
  const places = [
    ...(named === undefined || named === '' ? [] : [named]),
    ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)),
  ];
  const path = places.find(isExecutable);
  const missing = `no ${name} in PATH, and ${variable} names none`;
  return path === undefined ? { missing } : { path, missing: '' };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
