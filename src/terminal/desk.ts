/** What a session at the terminal is about: the host, the screen, the prompts told so far, and what Ctrl-C is for just now. */
import { AgentFlowError } from '../errors.js';
import type { AgentHost } from '../host/host.js';
import { Deferred } from '../internal/deferred.js';
import { shortRef } from './figures.js';
import { quotedName } from './line.js';
import { MisuseError, told } from './misuse.js';
import type { Screen } from './screen.js';
import { labelOf, Tells } from './tells.js';
import { oneLine } from './text.js';
import type { AgentView } from './views.js';
import { Watcher } from './watcher.js';

/** A session at the terminal. */
export class Desk {
  readonly host: AgentHost;
  readonly screen: Screen;
  readonly tells = new Tells();
  readonly watcher: Watcher;
  /** Something that was typed could not be done. */
  hasFailed = false;
  #chosen: string | undefined;
  #isInterrupted = false;
  /** What Ctrl-C does; `undefined` while nothing is done. */
  #interrupt: (() => void) | undefined;
  #giveUp: (() => void) | undefined;

  constructor(host: AgentHost, screen: Screen) {
    this.host = host;
    this.screen = screen;
    this.watcher = new Watcher(screen, this.nameOf);
    host.observe(this.watcher.hear);
  }

  /** The agent that plain text asks. */
  get chosen(): string | undefined {
    return this.#chosen;
  }

  set chosen(agent: string | undefined) {
    this.#chosen = agent;
    this.screen.prompt = agent === undefined ? '> ' : `${oneLine(agent)}> `;
  }

  /** What a ref is called here: its number, or its first characters. */
  readonly nameOf = (ref: string): string => {
    const tell = this.tells.find(ref);
    return tell === undefined ? shortRef(ref) : labelOf(tell);
  };

  /** Obeys one line. Ctrl-C ends the wait for it, where it does not cut short what is done. */
  async obeying(work: () => Promise<void>): Promise<void> {
    const impatience = new Deferred<never>();
    this.#isInterrupted = false;
    this.#interrupt = () => impatience.reject(noLongerWaiting());
    this.#giveUp = this.#interrupt;
    try {
      await Promise.race([work(), impatience.promise]);
    } finally {
      this.#interrupt = undefined;
    }
  }

  /** Does what Ctrl-C can cut short: `interrupt` is called once, at the first. */
  async interruptible<T>(interrupt: () => void, work: () => Promise<T>): Promise<T> {
    const working = work();
    if (this.#isInterrupted) interrupt();
    else this.#interrupt = interrupt;
    try {
      return await working;
    } finally {
      if (this.#interrupt === interrupt) this.#interrupt = this.#giveUp;
    }
  }

  /** Ctrl-C: false when there is nothing to cut short, or it is being cut short already. */
  interrupt(): boolean {
    if (this.#interrupt === undefined || this.#isInterrupted) return false;
    this.#isInterrupted = true;
    this.#interrupt();
    return true;
  }

  /** All that is shown of an agent. Rejects with the host's errors. */
  async view(agent: string): Promise<AgentView> {
    const { host } = this;
    const [status, snapshot, turns, costUsd, budget, sessionId] = await Promise.all([
      host.status(agent),
      host.snapshot(agent),
      host.turnCount(agent),
      host.totalCost(agent),
      host.budget(agent),
      host.sessionId(agent),
    ]);
    return { status, snapshot, turns, costUsd, budget, sessionId, tokens: this.watcher.tokensOf(agent) };
  }

  /** Those that are shown together; an agent that ends meanwhile is not among them. */
  async views(): Promise<readonly AgentView[]> {
    const views = await Promise.allSettled((await this.host.list()).map((agent) => this.view(agent)));
    return views.flatMap((view) => (view.status === 'fulfilled' ? [view.value] : []));
  }

  /** Says what could not be done, and what could have been. */
  async complain(error: unknown): Promise<void> {
    this.hasFailed = true;
    await this.screen.print(`! ${told(error)}${await this.#remedy(error)}`, 'bad');
  }

  async #remedy(error: unknown): Promise<string> {
    const code = error instanceof MisuseError ? undefined : (error as { code?: unknown } | undefined)?.code;
    if (code === 'AGENT_HALTED') return '; "resume NAME" first, or "tell" it';
    if (code !== 'AGENT_NOT_FOUND') return '';
    const names = await this.host.list();
    return names.length === 0 ? '; there is none any more' : `; there is ${names.map(quotedName).join(', ')}`;
  }
}

/** What is said when somebody would rather do something else; the agents work on. */
export function noLongerWaiting(): AgentFlowError {
  return new AgentFlowError('WAIT_TIMEOUT', 'No longer waiting; the agent works on');
}
