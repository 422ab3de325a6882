/** Redis servers of one's own, where the machine has `redis-server`. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port.js';
import { dieWithUs } from './last-will.js';

/** Why the tests on a real server are skipped; `undefined` where they are not. */
export const noRedis: string | undefined =
  spawnSync('redis-server', ['--version']).status === 0 ? undefined : 'this machine has no redis-server in its PATH';

/** A running server in a folder of its own on a free port; any number may run at once. */
export class RedisServer {
  readonly port: number;
  readonly #folder: string;
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;

  /** Starts a server that loses nothing it has answered. `settings` are its own, such as `--appendonly no`. */
  static async start(...settings: string[]): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), 'redis-'));
    for (let attempt = 1; ; attempt++) {
      const server = new RedisServer(folder, settings, await freePort());
      try {
        await server.#run();
        return server;
      } catch (error) {
        // Somebody else may have taken the port meanwhile.
        if (attempt < 5) continue;
        rmSync(folder, { recursive: true, force: true });
        throw error;
      }
    }
  }

  /** Starts a cluster of one node: it has every slot, and refuses what does not keep to one. */
  static async startCluster(): Promise<RedisServer> {
    const server = await RedisServer.start('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
    server.#cli('cluster', 'addslotsrange', '0', '16383');
    while (!server.#cli('cluster', 'info').includes('cluster_state:ok'));
    return server;
  }

  private constructor(folder: string, settings: readonly string[], port: number) {
    this.#folder = folder;
    this.#settings = settings;
    this.port = port;
  }

  /** As a URL, for other processes. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Kills the server and starts it again on the same port, with what its log has. */
  async crash(): Promise<void> {
    await this.#end();
    await this.#run();
  }

  /** Kills the server and removes its folder. */
  async stop(): Promise<void> {
    await this.#end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder, '--save', ''];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];
    const server = spawn('redis-server', [...own, ...durable, ...this.#settings], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    dieWithUs(server, 'KILL', this.#folder);
    const said: string[] = [];
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: server.stdout }).on('line', (line) => {
        said.push(line);
        if (line.includes('Ready to accept connections')) resolve();
      });
      server.once('error', reject);
      server.once('exit', () => reject(new Error(`Redis did not start:\n${said.join('\n')}`)));
    });
    this.#process = server;
  }

  #cli(...command: string[]): string {
    return execFileSync('redis-cli', ['-p', String(this.port), ...command], { encoding: 'utf8' });
  }

  async #end(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  }
}
