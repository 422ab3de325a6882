/** Who may know whom: the import table, cycles, and what a browser may load. */
import { builtinModules } from 'node:module';
import type { House } from './house.js';
import { at, eachModule, importRule, type Rule } from './house-rule.js';

interface Room {
  /** Rooms, or single files (the contracts), that it may import. */
  readonly imports: readonly string[];
  /** The part of `imports` that it may know by type only. */
  readonly asTypes?: readonly string[];
  /** True when each file stands for itself and may not import its neighbours. */
  readonly strangers?: boolean;
  /** Among strangers, what they have in common and may import; the only part other rooms may import. */
  readonly common?: readonly string[];
  /** True when it must run in a browser. */
  readonly neutral?: boolean;
}

const ground = ['schemas', 'errors', 'internal'];
const backend = 'src/backends/backend.ts';
const provider = 'src/providers/provider.ts';
/** The one shape of usage, and vendors' counts in it. */
const usage = 'src/providers/usage.ts';
const behaviour = 'src/host/behaviour.ts';
const engine = 'src/host/engine.ts';
/** The contract of a session store, and what every store checks alike. */
const store = 'src/session/store.ts';
const storeChecks = 'src/session/store-checks.ts';
/** What stores that are told have in common. */
const notices = 'src/session/notices.ts';
const releases = 'src/session/releases.ts';
/** What runs say, as a store keeps it. */
const runFeed = 'src/session/run-feed.ts';
/** Where the terminal remembers agents. */
const sqlite = 'src/stores/sqlite.ts';
const connection = 'src/connection/connection.ts';
const transport = 'src/connection/transport.ts';

/** What runs a backend and what several of them need; the rest of the room are backends, each for itself. */
const sharedByBackends = [
  'backend',
  'backend-error',
  'backend-session',
  'cli-process',
  'cli-turn',
  'conversation',
  'failure',
  'in-order',
  'model-backend',
  'process-groups',
  'prompt-text',
  'response-builder',
  'run-prompt',
  'telemetry',
  'tool-spans',
  'until-aborted',
  'usage',
  'usage-ledger',
  'whole-answer',
];

/** What several providers need. */
const sharedByProviders = ['content-name', 'pause', 'provider', 'raw-event', 'until-idle', 'usage'];

/** Who may know whom. Within a room everybody does, unless they are strangers. */
const rooms: Readonly<Record<string, Room>> = {
  errors: { imports: [], neutral: true },
  internal: { imports: ['errors'], neutral: true },
  schemas: { imports: [] },
  session: { imports: ground },
  connection: { imports: ground },
  agent: { imports: ['session', 'connection', ...ground] },
  genkit: { imports: ['agent', 'session', 'connection', 'backends', provider, ...ground] },
  stores: { imports: [store, storeChecks, notices, releases, runFeed, 'errors', 'internal'], strangers: true },
  backends: { imports: [provider, usage, ...ground], strangers: true, common: sharedByBackends },
  providers: { imports: ground, strangers: true, common: sharedByProviders },
  host: { imports: ['agent', 'connection', backend, 'errors', 'internal'] },
  engines: { imports: [behaviour, engine, 'errors', 'internal'], strangers: true },
  server: { imports: ['agent', 'connection', ...ground], asTypes: ['agent'] },
  client: { imports: ['connection', ...ground], neutral: true },
  testing: { imports: [store, connection, transport, backend, provider, behaviour, engine, ...ground] },
  terminal: { imports: ['host', backend, sqlite, 'errors', 'internal'] },
  index: { imports: ['session', 'connection', 'agent', 'genkit', 'host', 'backends', provider, ...ground] },
};

/** The room a file stands in: its folder in `src`, or its own name when it stands alone; undefined outside the table. */
export function roomOf(path: string): string | undefined {
  const name = path.startsWith('schemas/') ? 'schemas' : /^src\/([^/.]+)/.exec(path)?.[1];
  return name !== undefined && Object.hasOwn(rooms, name) ? name : undefined;
}

/** `stores/sqlite.ts` and `stores/sqlite/schema.ts` are one unit. */
function unitOf(path: string): string | undefined {
  return /^src\/[^/]+\/([^/.]+)/.exec(path)?.[1];
}

function isBuiltin(name: string | undefined): boolean {
  return name !== undefined && (name.startsWith('node:') || builtinModules.includes(name));
}

function isGenkit(name: string | undefined): boolean {
  return name !== undefined && (name === 'genkit' || name.startsWith('@genkit-ai/'));
}

const everyFileHasARoom: Rule = (house) =>
  eachModule(house, (module) =>
    roomOf(module.path) === undefined ? [at(module, 1, 'stands in no room of the import table')] : [],
  );

const roomsKnowWhatTheTableAllows = importRule(({ target, package: name, erased }, { path }) => {
  const from = roomOf(path);
  const room = rooms[from ?? ''];
  if (name === 'genkitx-agent') return 'imports the package by its own name';
  if (target === undefined || room === undefined) return undefined;
  const to = roomOf(target);
  if (to === undefined) return `imports ${target}, which stands in no room`;
  if (room.imports.includes(target)) return undefined;
  const isStranger = rooms[to]?.strangers === true && !rooms[to]?.common?.includes(unitOf(target) ?? '');
  if (to === from) {
    return isStranger && unitOf(path) !== unitOf(target) ? `imports its neighbour ${target}` : undefined;
  }
  if (!room.imports.includes(to) || isStranger) return `room ${from} may not import ${target}`;
  return room.asTypes?.includes(to) && !erased ? `room ${from} may know ${to} by type only` : undefined;
});

const noCycles: Rule = (house) => {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) found.push([...trail.slice(seen), path].join(' -> '));
    if (seen >= 0 || done.has(path)) return;
    for (const { target } of house.get(path)?.imports ?? []) {
      if (target !== undefined) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of house.keys()) visit(path, []);
  return found;
};

const genkitInOneRoom = importRule(({ specifier, package: name }, { path }) =>
  isGenkit(name) && roomOf(path) !== 'genkit' ? `imports ${specifier}` : undefined,
);

const neutralRooms = importRule(({ specifier, package: name }, { path }) =>
  rooms[roomOf(path) ?? '']?.neutral && isBuiltin(name) ? `a room without Node imports ${specifier}` : undefined,
);

const wsInOneFile: Rule = (house) => {
  const naming = [...house.values()].filter(({ imports }) => imports.some(({ package: name }) => name === 'ws'));
  const inServer = naming.filter(({ path }) => roomOf(path) === 'server');
  return [
    ...naming.filter((module) => !inServer.includes(module)).map((module) => at(module, 1, 'imports ws')),
    ...inServer.slice(1).map((module) => at(module, 1, 'is the second file that imports ws')),
  ];
};

/** Follows what a built entry would load, from its source, and names the trail to every Node builtin or Genkit. */
function reachesOnlyNeutral(house: House, entry: string): string[] {
  const found: string[] = [];
  const seen = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const here = [...trail, path];
    if (roomOf(path) === 'genkit') found.push(here.join(' -> '));
    for (const { target, package: name, specifier, erased, lazy } of house.get(path)?.imports ?? []) {
      if (erased || lazy) continue;
      if (target !== undefined) visit(target, here);
      if (isBuiltin(name) || isGenkit(name)) found.push([...here, specifier].join(' -> '));
    }
  };
  visit(entry, []);
  return found;
}

/** For the source files of the browser-safe entries. */
export function browserSafeRule(entries: readonly string[]): Rule {
  return (house) => entries.flatMap((entry) => reachesOnlyNeutral(house, entry));
}

/** What holds for the imports of `src` and `schemas`. */
export const importRules: Readonly<Record<string, Rule>> = {
  'every file stands in a room': everyFileHasARoom,
  'a room imports what the table allows': roomsKnowWhatTheTableAllows,
  'there is no import cycle, types included': noCycles,
  'genkit is imported in one room': genkitInOneRoom,
  'internal, errors and client import no Node builtin': neutralRooms,
  'one file of server imports ws': wsInOneFile,
};
