/** Lines in, text out: at a terminal with a prompt, in a pipe without. */
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { type Readable, Writable } from 'node:stream';
import { styleText } from 'node:util';

type Input = Readable & { readonly isTTY?: boolean };
type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

const prompt = '> ';

export class Terminal {
  /** Somebody sits there: show a prompt, let them edit the line. */
  readonly isInteractive: boolean;
  readonly #output: Output;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;
  #isPrompting = false;
  #linesAhead = 0;
  #isCut = false;
  #hasEnded = false;
  readonly #closed = new AbortController();

  constructor(input: Input, output: Output) {
    this.isInteractive = input.isTTY === true && output.isTTY === true;
    this.#output = output;
    this.#reader = createInterface({ input, output: this.#echo(), terminal: this.isInteractive, prompt });
    this.#reader.on('line', () => {
      // Several may come at once, when they are pasted: only the first was typed at the prompt.
      if (this.#isPrompting) this.#isPrompting = false;
      else this.#linesAhead += 1;
    });
    this.#reader.on('close', () => {
      this.#hasEnded = true;
    });
    // Ctrl-Z and `fg`: readline comes back paused, and a paused one lets the process end.
    this.#reader.on('SIGCONT', () => this.#reader.resume());
    // Taken at once: from here on no line is lost, however long an answer takes.
    this.#lines = this.#reader[Symbol.asyncIterator]();
    // Nobody reads any more (`npm start | head`): there is no one left to talk to.
    output.on('error', () => {
      this.#isCut = true;
      this.close();
    });
  }

  /** What is typed or piped in, line by line, until the input ends or the terminal is closed. */
  async *lines(): AsyncGenerator<string> {
    while (!this.#closed.signal.aborted) {
      const wasAhead = this.#linesAhead > 0;
      this.#isPrompting = !wasAhead;
      if (this.isInteractive && !wasAhead && !this.#hasEnded) this.#reader.prompt(true);
      const { value: line, done } = await this.#lines.next();
      this.#isPrompting = false;
      if (wasAhead) this.#linesAhead -= 1;
      if (done || this.#closed.signal.aborted) return this.#leavePrompt();
      // What was typed while an answer was being written, or came through a pipe, has not been seen yet.
      if (wasAhead || !this.isInteractive) await this.write(`${prompt}${line}\n`);
      yield line;
    }
  }

  /** Writes text as it is, less what could steer the terminal: a model may have been talked into anything. */
  async write(text: string): Promise<void> {
    await this.#put(harmless(text));
  }

  /** Says something that is not part of the conversation; it may quote a server, or an id. */
  async note(text: string): Promise<void> {
    const said = harmless(text);
    await this.#put(`${this.isInteractive ? styleText('dim', said) : said}\n`);
  }

  /**
   * Ctrl-C, until the terminal is closed; where something is being typed it only takes that away. A terminal in raw mode
   * reads it as a key; elsewhere it is a signal.
   */
  onInterrupt(listener: () => void): void {
    this.#reader.on('SIGINT', () => {
      if (!this.#clearLine()) listener();
    });
    process.on('SIGINT', listener);
    this.#closed.signal.addEventListener('abort', () => process.off('SIGINT', listener));
  }

  /** No more lines. */
  close(): void {
    this.#closed.abort();
    this.#reader.close();
  }

  /** Answers whether there was anything, and is no more: a terminal that cannot move its cursor knows no such keys. */
  #clearLine(): boolean {
    if (!this.#isPrompting || this.#reader.line === '') return false;
    this.#reader.write(null, { ctrl: true, name: 'e' });
    this.#reader.write(null, { ctrl: true, name: 'u' });
    return this.#reader.line === '';
  }

  async #put(text: string): Promise<void> {
    if (this.#isCut || this.#output.write(text)) return;
    await once(this.#output, 'drain').catch(() => {});
  }

  /** The cursor still stands behind the prompt. */
  #leavePrompt(): void {
    if (this.isInteractive) this.#output.write('\n');
  }

  /** Shows what is typed at the prompt, and hides what is typed into an answer until it is read. */
  #echo(): Writable | undefined {
    if (!this.isInteractive) return undefined;
    const output = this.#output;
    const write = (chunk: Buffer, _encoding: string, done: () => void) => {
      if (this.#isPrompting) output.write(chunk);
      done();
    };
    return Object.defineProperty(new Writable({ write }), 'columns', { get: () => output.columns });
  }
}

/** Without control characters, save for lines and tabs. */
function harmless(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, '');
}
