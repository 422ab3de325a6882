/** The rules of the house, and for every rule a small house that breaks it. */
import { describe, expect, it } from 'vitest';
import { browserSafe, readEntries } from '../scripts/entries.js';
import { codeRules, testRules } from './support/code-rules.js';
import { buildHouse, readHouse } from './support/house.js';
import type { Rule } from './support/house-rule.js';
import { browserSafeRule, importRules } from './support/import-rules.js';

const lines = (count: number, line = 'step();'): string => Array(count).fill(line).join('\n');

const safeSources = readEntries(process.cwd())
  .filter(({ path }) => browserSafe.includes(path))
  .map(({ source }) => source);

const browserRules = {
  'browser-safe entries reach neither Node nor Genkit': browserSafeRule(safeSources),
};

const houseRules: Readonly<Record<string, Rule>> = { ...importRules, ...codeRules, ...browserRules };
const allRules: Readonly<Record<string, Rule>> = { ...houseRules, ...testRules };

/** A house that breaks the rule, and what the rule must say of it. */
interface Breach {
  readonly rule: string;
  readonly files: Readonly<Record<string, string>>;
  readonly says: string;
}

function breach(rule: string, files: Readonly<Record<string, string>> | string, says: string): Breach {
  return { rule, files: typeof files === 'string' ? { 'src/agent/run.ts': files } : files, says };
}

const breaches: readonly Breach[] = [
  breach('every file stands in a room', { 'src/attic/box.ts': '' }, 'src/attic/box.ts:1 stands in no room'),
  breach('every file stands in a room', { 'src/constructor/box.ts': '' }, 'stands in no room'),
  ...(
    [
      ['src/errors.ts', './internal/json.js', 'room errors may not import src/internal/json.ts'],
      ['src/internal/json.ts', '../session/store.js', 'room internal may not import'],
      ['schemas/index.ts', '../src/errors.js', 'room schemas may not import'],
      ['src/session/session.ts', '../connection/connection.js', 'room session may not import'],
      ['src/connection/inbox.ts', '../session/session.js', 'room connection may not import'],
      ['src/agent/run.ts', '../genkit/spans.js', 'room agent may not import'],
      ['src/genkit/flow.ts', '../backends/openai.js', 'room genkit may not import'],
      ['src/stores/memory.ts', '../session/session.js', 'room stores may not import'],
      ['src/stores/memory.ts', './sqlite.js', 'imports its neighbour src/stores/sqlite.ts'],
      ['src/stores/sqlite/schema.ts', '../memory.js', 'imports its neighbour src/stores/memory.ts'],
      ['src/backends/openai.ts', './anthropic.js', 'imports its neighbour'],
      ['src/providers/genkit.ts', './scripted.js', 'imports its neighbour'],
      ['src/host/host.ts', '../engines/local.js', 'room host may not import'],
      ['src/engines/local.ts', '../host/actor.js', 'room engines may not import'],
      ['src/server/ws.ts', '../session/session.js', 'room server may not import'],
      ['src/server/ws.ts', '../agent/agent.js', 'room server may know agent by type only'],
      ['src/client/client.ts', '../agent/agent.js', 'room client may not import'],
      ['src/testing/store-suite.ts', '../stores/memory.js', 'room testing may not import'],
      ['src/terminal/main.ts', '../stores/memory.js', 'room terminal may not import'],
      ['src/index.ts', './testing/index.js', 'room index may not import'],
      ['src/agent/run.ts', '../../scripts/entries.js', 'imports scripts/entries.ts, which stands in no room'],
      ['src/agent/run.ts', 'genkitx-agent/errors', 'imports the package by its own name'],
    ] as const
  ).flatMap(([path, specifier, says]) => {
    const rule = 'a room imports what the table allows';
    return [
      breach(rule, { [path]: `import { a } from '${specifier}';` }, `${path}:1 ${says}`),
      breach(rule, { [path]: `\nexport { a } from '${specifier}';` }, `${path}:2 ${says}`),
      breach(rule, { [path]: `const a = await import('${specifier}');` }, says),
      says.endsWith('type only')
        ? breach(rule, { [path]: `import { type A } from '${specifier}';` }, says)
        : breach(rule, { [path]: `let a: import('${specifier}').A;` }, says),
    ];
  }),
  breach(
    'there is no import cycle, types included',
    {
      'src/agent/a.ts': `import { b } from './b.js';`,
      'src/agent/b.ts': `import type { C } from './c.js';`,
      'src/agent/c.ts': `export type C = import('./a.js').A;`,
    },
    'src/agent/a.ts -> src/agent/b.ts -> src/agent/c.ts -> src/agent/a.ts',
  ),
  breach(
    'there is no import cycle, types included',
    `import type { A } from './run.js';`,
    'run.ts -> src/agent/run.ts',
  ),
  breach('genkit is imported in one room', `import type { Genkit } from 'genkit/beta';`, 'imports genkit/beta'),
  breach('genkit is imported in one room', `let a: import('genkit').Genkit;`, 'imports genkit'),
  breach('genkit is imported in one room', `import { run } from '@genkit-ai/core';`, 'imports @genkit-ai/core'),
  ...['src/internal/a.ts', 'src/errors.ts', 'src/client/a.ts'].flatMap((path) => [
    breach(
      'internal, errors and client import no Node builtin',
      { [path]: `import { join } from 'node:path';` },
      'imports node:path',
    ),
    breach(
      'internal, errors and client import no Node builtin',
      { [path]: `const fs = await import('fs/promises');` },
      'imports fs/promises',
    ),
  ]),
  breach('one file of server imports ws', `import { WebSocket } from 'ws';`, 'run.ts:1 imports ws'),
  breach(
    'one file of server imports ws',
    { 'src/server/ws.ts': `import 'ws';`, 'src/server/http.ts': `import type { A } from 'ws';` },
    'src/server/http.ts:1 is the second file',
  ),
  breach('function bodies have at most 80 lines', `function f() {\n${lines(81)}\n}`, 'a function body of 81 lines'),
  breach('function bodies have at most 80 lines', `const f = () => [\n${lines(79, '1,')}\n];`, 'of 81 lines'),
  breach('function bodies have at most 80 lines', `class A {\n constructor() {\n${lines(81)}\n}}`, 'run.ts:2 '),
  breach('function bodies have at most 80 lines', `const a = { f() {\n${lines(90)}\n} };`, 'of 90 lines'),
  breach('files have at most 300 lines', lines(301), 'a file of 301 lines'),
  breach('there is no any', 'let a: any;', 'run.ts:1 any'),
  breach('there is no any', 'type A = Array<{ b: any[] }>;', 'any'),
  breach('there is no any', 'const a = b as any;', 'any'),
  breach('there is no non-null assertion', 'const a = b!.c;', 'a non-null !'),
  breach('there is no non-null assertion', 'let a!: string;', 'a non-null !'),
  breach('there is no non-null assertion', 'class A { b!: string; }', 'a non-null !'),
  breach('exports are named', `export * from './a.js';`, 'export *'),
  breach('exports are named', `export type * from './a.js';`, 'export *'),
  breach('exports are named', `export * as a from './a.js';`, 'export *'),
  breach('exports are named', 'export default function f() {}', 'a default export'),
  breach('exports are named', 'const a = 1; export default a;', 'a default export'),
  breach('the front door only re-exports', { 'src/index.ts': 'export const a = 1;' }, 'more than named re-exports'),
  breach('the front door only re-exports', { 'src/index.ts': `import './a.js';` }, 'more than named re-exports'),
  breach('nothing is called utils', { 'src/agent/utils.ts': '' }, 'a name that says nothing'),
  breach('nothing is called utils', { 'src/agent/helpers/a.ts': '' }, 'a name that says nothing'),
  breach('classes inherit from the error base only', 'class A extends B {}', 'a class extends B'),
  breach(
    'classes inherit from the error base only',
    'const a = class extends EventEmitter {};',
    'extends EventEmitter',
  ),
  breach('classes inherit from the error base only', 'class A extends TypeError {}', 'extends TypeError'),
  breach('private members use #', 'class A { private b = 1; }', 'the private keyword'),
  breach('private members use #', 'class A { constructor(private readonly b: string) {} }', 'the private keyword'),
  breach('private members use #', 'class A { protected b() {} }', 'the protected keyword'),
  breach('errors come from one base', `throw new Error('no');`, 'a bare Error'),
  breach('errors come from one base', `throw Error('no');`, 'a bare Error'),
  breach(
    'internal has at most 8 files with one export each',
    Object.fromEntries([...'abcdefghi'].map((name) => [`src/internal/${name}.ts`, 'export const a = 1;'])),
    'src/internal: 9 files',
  ),
  ...(
    [
      ['export const a = 1; export function b() {}', 'exports a, b'],
      ['export const a = 1, b = 2;', 'exports a, b'],
      ['export type A = 1; export interface B {}', 'exports A, B'],
      ['class A {} type B = 1; type C = 2; export { A, type B, type C };', 'exports A, B, C'],
      ['const a = 1;', 'exports nothing'],
    ] as const
  ).map(([text, says]) =>
    breach('internal has at most 8 files with one export each', { 'src/internal/a.ts': text }, says),
  ),
  breach('time comes from the clock', 'setTimeout(f, 1);', 'setTimeout'),
  breach('time comes from the clock', 'const wait = globalThis.setInterval;', 'setInterval'),
  breach('time comes from the clock', 'const a = Date.now();', 'Date.now'),
  breach('time comes from the clock', 'const a = globalThis.performance.now();', 'performance.now'),
  breach('time comes from the clock', 'const a = new Date().toISOString();', 'new Date()'),
  breach('time comes from the clock', 'AbortSignal.timeout(5);', 'AbortSignal.timeout'),
  breach('time comes from the clock', `import { setImmediate } from 'node:timers/promises';`, 'node:timers/promises'),
  ...(
    [
      [`import 'node:fs';`, 'src/errors.ts -> node:fs'],
      [`import { a } from 'os';`, 'src/errors.ts -> os'],
      [`export { a } from 'genkit';`, 'src/errors.ts -> genkit'],
      [`import { type A } from '@genkit-ai/core';`, 'src/errors.ts -> @genkit-ai/core'],
      [`import { a } from './genkit/a.js';`, 'src/errors.ts -> src/genkit/a.ts'],
    ] as const
  ).map(([text, says]) =>
    breach('browser-safe entries reach neither Node nor Genkit', { 'src/errors.ts': text }, says),
  ),
  breach(
    'browser-safe entries reach neither Node nor Genkit',
    { 'src/errors.ts': `import './internal/a.js';`, 'src/internal/a.ts': `export { b } from 'node:net';` },
    'src/errors.ts -> src/internal/a.ts -> node:net',
  ),
  ...(
    [
      ['await new Promise((done) => setTimeout(done, 5));', 'setTimeout'],
      ['setInterval(f, 5);', 'setInterval'],
      [`import * as timers from 'node:timers/promises';`, 'node:timers/promises'],
      ['Atomics.wait(cell, 0, 0, 5);', 'Atomics.wait'],
    ] as const
  ).map(([text, says]) => breach('no test sleeps', { 'test/agent/run.test.ts': text }, says)),
];

/** What looks like a breach and is none. */
const innocent: readonly (readonly [rule: string, files: Readonly<Record<string, string>>])[] = [
  [
    'a room imports what the table allows',
    {
      'src/session/session.ts': `import { a } from './store.js'; import { b } from '../internal/json.js';`,
      'src/stores/sqlite.ts': `import type { A } from '../session/store.js'; import { b } from './sqlite/schema.js';`,
      'src/server/ws.ts': `import type { A } from '../agent/agent.js';`,
      'src/index.ts': `export { a } from './agent/agent.js';`,
    },
  ],
  [
    'there is no import cycle, types included',
    {
      'src/agent/a.ts': `import './b.js'; import './c.js';`,
      'src/agent/b.ts': `import './c.js';`,
      'src/agent/c.ts': '',
    },
  ],
  ['genkit is imported in one room', { 'src/genkit/flow.ts': `import { z } from 'genkit';` }],
  ['function bodies have at most 80 lines', { 'src/agent/run.ts': `function f() {\n${lines(80)}\n}` }],
  ['files have at most 300 lines', { 'src/agent/run.ts': `${lines(300)}\n` }],
  ['there is no any', { 'src/agent/run.ts': `// any\nconst any = 'any';` }],
  ['there is no non-null assertion', { 'src/agent/run.ts': 'const a = !b && c !== d;' }],
  [
    'classes inherit from the error base only',
    { 'src/errors.ts': 'class A extends Error {} interface B extends C {}' },
  ],
  [
    'errors come from one base',
    { 'src/errors.ts': 'new Error()', 'src/agent/run.ts': 'const isError = a instanceof Error;' },
  ],
  [
    'internal has at most 8 files with one export each',
    { 'src/internal/clock.ts': 'export interface Clock {} export const systemClock: Clock = {};' },
  ],
  [
    'time comes from the clock',
    {
      'src/internal/clock.ts': 'setTimeout(f, Date.now());',
      'src/agent/run.ts': `const a = new Date(clock.now()); // Date.now()\nconst b = 'setTimeout(';`,
    },
  ],
  [
    'browser-safe entries reach neither Node nor Genkit',
    { 'src/errors.ts': `import type { A } from 'genkit'; export const a = () => import('node:fs');` },
  ],
  ['no test sleeps', { 'test/a.test.ts': 'const a = Date.now();', 'test/support/a.ts': 'setTimeout(f, 5);' }],
];

describe('the house', () => {
  const house = readHouse('src', 'schemas');

  it('is there to be read', () => {
    expect([...house.keys()]).toContain('src/errors.ts');
  });

  it.each(Object.entries(houseRules))('%s', (_, rule) => {
    expect(rule(house)).toEqual([]);
  });
});

describe('the tests', () => {
  it.each(Object.entries(testRules))('%s', { timeout: 180_000 }, (_, rule) => {
    expect(rule(readHouse('test'))).toEqual([]);
  });
});

describe('a rule can fail', () => {
  it.each(Object.keys(allRules))('%s', (name) => {
    expect(breaches.map(({ rule }) => rule)).toContain(name);
  });

  it.each(breaches)('$rule: $says', ({ rule, files, says }) => {
    expect(allRules[rule]?.(buildHouse(files))).toEqual([expect.stringContaining(says)]);
  });
});

describe('a rule lets pass', () => {
  it.each(innocent)('%s', (name, files) => {
    expect(allRules[name]?.(buildHouse(files))).toEqual([]);
  });
});
