/** Lines in, text out: at a terminal with a prompt, in a pipe without. Nothing wider than the screen, nothing that steers it. */
import { once } from 'node:events';
import { clearScreenDown, createInterface, cursorTo, type Interface, moveCursor } from 'node:readline';
import { type Readable, Writable } from 'node:stream';
import { styleText } from 'node:util';
import { Flow, wrap } from './text.js';

/** Where lines come from. */
export type Input = Readable & { readonly isTTY?: boolean };
/** Where text goes. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** How lines are set off, where there is colour. */
export type Tone = 'plain' | 'quiet' | 'bad';

/** What a screen is made of. */
export interface ScreenOptions {
  readonly input: Input;
  readonly output: Output;
  /** Columns of a line; `Infinity` for lines that are never broken. @default the terminal's, 80 elsewhere */
  readonly width?: number | undefined;
  /** What a half-typed line could become. */
  readonly complete?: (line: string) => Promise<[found: string[], of: string]>;
}

/** Columns of a line where nobody says how many there are. */
const usualWidth = 80;
/** Tables need so many columns to say anything. */
export const narrowestWidth = 20;

const styles = { quiet: 'dim', bad: 'red' } as const;

/** Lines in, text out. */
export class Screen {
  /** Somebody sits there: show a prompt, let them edit the line. */
  readonly isInteractive: boolean;
  /** What stands before a line that is to be typed. */
  prompt = '> ';
  readonly #output: Output;
  readonly #width: number | undefined;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;
  readonly #closed = new AbortController();
  #answer: Flow | undefined;
  /** The cursor stands behind text that was not ended with a line. */
  #isMidLine = false;
  #isPrompting = false;
  #linesAhead = 0;
  #isCut = false;
  #hasEnded = false;

  constructor({ input, output, width, complete }: ScreenOptions) {
    this.isInteractive = input.isTTY === true && output.isTTY === true;
    this.#output = output;
    this.#width = width;
    const completer = complete && { completer: byCallback(complete) };
    this.#reader = createInterface({ input, output: this.#echo(), terminal: this.isInteractive, ...completer });
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
    // Taken at once: from here on no line is lost, however long a command takes.
    this.#lines = this.#reader[Symbol.asyncIterator]();
    // Nobody reads any more (`| head`): there is no one left to talk to.
    output.on('error', () => {
      this.#isCut = true;
      this.close();
    });
  }

  /** Columns of a line. */
  get width(): number {
    if (this.#width !== undefined) return this.#width;
    const { columns = 0 } = this.isInteractive ? this.#output : {};
    // A pseudo-terminal that nobody has sized says 0.
    return columns === 0 ? usualWidth : Math.max(narrowestWidth, columns);
  }

  /** More has been written than was read: what can be left out, should be. */
  get isFull(): boolean {
    return this.#output.writableNeedDrain;
  }

  /** What is typed or piped in, line by line, until the input ends or the screen is closed. */
  async *lines(): AsyncGenerator<string> {
    while (!this.#closed.signal.aborted) {
      const wasAhead = this.#linesAhead > 0;
      this.#isPrompting = !wasAhead;
      if (!wasAhead) this.#showPrompt();
      const { value: line, done } = await this.#lines.next();
      this.#isPrompting = false;
      if (wasAhead) this.#linesAhead -= 1;
      if (done || this.#closed.signal.aborted) return this.#leavePrompt();
      // What was typed while a command was running, or came through a pipe, has not been seen yet.
      if (wasAhead || !this.isInteractive) await this.print(`${this.prompt}${line}`);
      if (this.#closed.signal.aborted) return;
      yield line;
    }
  }

  /** Writes whole lines, above the prompt where one stands; what is too long is broken. Waits while nobody reads. */
  async print(lines: string | readonly string[], tone: Tone = 'plain'): Promise<void> {
    const fitting = [lines].flat().flatMap((line) => wrap(line, this.width));
    const text = fitting.map((line) => `${this.#inTone(line, tone)}\n`).join('');
    const before = this.#isMidLine ? '\n' : '';
    this.#isMidLine = false;
    this.#answer?.beginLine();
    if (this.#isPrompting && this.isInteractive) this.#hidePrompt();
    const written = this.#put(before + text);
    if (this.#isPrompting) this.#showPrompt();
    await written;
  }

  /** Writes an answer as it comes, broken into lines. */
  async stream(text: string): Promise<void> {
    this.#answer ??= new Flow(this.width);
    await this.#putAnswer(this.#answer.push(text));
  }

  /** The answer is whole. */
  async endStream(): Promise<void> {
    const rest = this.#answer?.end() ?? '';
    this.#answer = undefined;
    await this.#putAnswer(rest);
    if (!this.#isMidLine) return;
    this.#isMidLine = false;
    await this.#put('\n');
  }

  /**
   * Ctrl-C, until the screen is closed; where something is being typed it only takes that away. A terminal in raw mode reads
   * it as a key; elsewhere it is a signal.
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

  /** Answers whether there was anything. */
  #clearLine(): boolean {
    if (!this.#isPrompting || this.#reader.line === '') return false;
    this.#reader.write(null, { ctrl: true, name: 'e' });
    this.#reader.write(null, { ctrl: true, name: 'u' });
    return true;
  }

  #inTone(line: string, tone: Tone): string {
    return tone === 'plain' ? line : styleText(styles[tone], line, { stream: this.#output });
  }

  async #putAnswer(text: string): Promise<void> {
    if (text === '') return;
    this.#isMidLine = !text.endsWith('\n');
    await this.#put(text);
  }

  async #put(text: string): Promise<void> {
    if (this.#isCut || text === '' || this.#output.write(text)) return;
    await once(this.#output, 'drain', { signal: this.#closed.signal }).catch(() => {});
  }

  #showPrompt(): void {
    if (!this.isInteractive || this.#hasEnded) return;
    this.#reader.setPrompt(this.prompt);
    this.#reader.prompt(true);
  }

  /** Takes the line that is being typed off the screen; {@link #showPrompt} brings it back. */
  #hidePrompt(): void {
    moveCursor(this.#output, 0, -this.#reader.getCursorPos().rows);
    cursorTo(this.#output, 0);
    clearScreenDown(this.#output);
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

/** What cannot be completed stays as it is. */
function byCallback(complete: NonNullable<ScreenOptions['complete']>) {
  return (line: string, done: (error: null, result: [string[], string]) => void): void => {
    complete(line).then(
      (result) => done(null, result),
      () => done(null, [[], line]),
    );
  };
}
