/** Shows what a host tells while it happens: a line for each event, and what agents say as they say it. */
import type { HostEvent } from '../host/host.js';
import { eventLine } from './event-line.js';
import { count } from './figures.js';
import type { Screen } from './screen.js';
import { cut, Flow, oneLine, widthOf } from './text.js';
import type { NameOf } from './views.js';

/** Columns of an agent's name before what it says. */
const nameColumns = 16;

/** Shows what a host tells. It shows nothing until it is told whom to watch. */
export class Watcher {
  readonly #screen: Screen;
  readonly #nameOf: NameOf;
  /** Tokens since the terminal was opened, by agent. */
  readonly #tokens = new Map<string, number>();
  /** What agents are saying, by ref. */
  readonly #speeches = new Map<string, Speech>();
  #watched: 'nobody' | 'everybody' | { readonly agent: string } = 'nobody';
  #omitted = 0;

  constructor(screen: Screen, nameOf: NameOf) {
    this.#screen = screen;
    this.#nameOf = nameOf;
  }

  /** Shows one agent, all of them, or nothing any more. */
  watch(watched: 'nobody' | 'everybody' | { readonly agent: string }): void {
    this.#watched = watched;
    this.#speeches.clear();
  }

  /** Input and output tokens of an agent since the terminal was opened. */
  tokensOf(agent: string): number {
    return this.#tokens.get(agent) ?? 0;
  }

  /** For `host.observe`. */
  readonly hear = (event: HostEvent): void => {
    if (event.type === 'turn.stop' || event.type === 'turn.error') this.#count(event);
    if (!this.isWatching(event.agent)) return;
    const said = event.type === 'stream.event' ? event.event : undefined;
    if (event.type === 'stream.event' && said?.type === 'text') this.#say(event, said.text);
    // Of what else a backend says, only what it does is worth a line.
    if (said !== undefined && said.type !== 'tool_use') return;
    if (event.type === 'prompt.stop' || event.type === 'prompt.error') this.#endSpeech(event.ref);
    this.#show(eventLine(event, this.#screen.width, this.#nameOf));
  };

  /** What this agent says is shown here. */
  isWatching(agent: string): boolean {
    if (typeof this.#watched === 'string') return this.#watched === 'everybody';
    return this.#watched.agent === agent;
  }

  #count({ agent, inputTokens, outputTokens }: HostEvent & { readonly type: 'turn.stop' | 'turn.error' }): void {
    this.#tokens.set(agent, this.tokensOf(agent) + inputTokens + outputTokens);
  }

  #say({ agent, ref }: { readonly agent: string; readonly ref: string }, text: string): void {
    const speech = this.#speeches.get(ref) ?? new Speech(agent, this.#screen.width);
    this.#speeches.set(ref, speech);
    for (const line of speech.push(text)) this.#show(line);
  }

  #endSpeech(ref: string): void {
    for (const line of this.#speeches.get(ref)?.end() ?? []) this.#show(line);
    this.#speeches.delete(ref);
  }

  /** Agents do not wait for a reader: what is too much for it is counted, and left out. */
  #show(line: string): void {
    if (this.#screen.isFull) {
      this.#omitted += 1;
      return;
    }
    if (this.#omitted > 0) void this.#screen.print(`(${count(this.#omitted, 'line')} left out)`, 'quiet');
    this.#omitted = 0;
    void this.#screen.print(line, 'quiet');
  }
}

/** What an agent says in one turn, in whole lines behind its name. */
class Speech {
  readonly #before: string;
  readonly #flow: Flow;
  #line = '';

  constructor(agent: string, width: number) {
    this.#before = `${cut(oneLine(agent), Math.min(nameColumns, Math.floor(width / 4)))} | `;
    this.#flow = new Flow(width - widthOf(this.#before));
  }

  /** The lines that are whole now. */
  push(text: string): string[] {
    return this.#take(this.#flow.push(text));
  }

  end(): string[] {
    const lines = this.#take(`${this.#flow.end()}\n`);
    return lines.at(-1) === this.#before.trimEnd() ? lines.slice(0, -1) : lines;
  }

  #take(text: string): string[] {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop() ?? '';
    return lines.map((line) => `${this.#before}${line}`.trimEnd());
  }
}
