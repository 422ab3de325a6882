/** The prompts that were told from here: refs are long, so each has a number to be called by. */
import type { AgentFlowError } from '../errors.js';
import type { Completion } from '../host/host.js';
import { firstWord } from './line.js';
import { MisuseError } from './misuse.js';

/** One prompt that was told. */
export interface Tell {
  /** From 1; `0` for a ref that was told elsewhere. */
  readonly number: number;
  readonly agent: string;
  readonly ref: string;
  /** `waiting` until the host has told what became of it; `shown` when somebody has seen that. */
  state: 'waiting' | 'ended' | 'shown';
  /** Why it failed, or was left unanswered. */
  error?: AgentFlowError;
}

/** Beyond it the oldest that were shown are forgotten. */
const maxTells = 1_000;

/** The prompts that were told from here. */
export class Tells {
  readonly #byRef = new Map<string, Tell>();
  #last = 0;

  /** Takes a ref in; answers it with its number. */
  add(agent: string, ref: string): Tell {
    const tell: Tell = { number: ++this.#last, agent, ref, state: 'waiting' };
    this.#byRef.set(ref, tell);
    if (this.#byRef.size > maxTells) this.#forgetOne();
    return tell;
  }

  /** What the host has told of a ref; answers the tell, if it is one of these. */
  complete(completion: Completion): Tell | undefined {
    const tell = this.#byRef.get(completion.ref);
    if (tell?.state !== 'waiting') return tell;
    tell.state = 'ended';
    if (!completion.ok) tell.error = completion.error;
    return tell;
  }

  find(ref: string): Tell | undefined {
    return this.#byRef.get(ref);
  }

  /** Those whose outcome nobody has seen, in the order they were told. */
  get unseen(): readonly Tell[] {
    return [...this.#byRef.values()].filter(({ state }) => state !== 'shown');
  }

  /** What was typed to name one: `3` or `#3`, a ref that was told here, or `NAME REF`. Throws a {@link MisuseError}. */
  named(text: string, usage: string): Tell {
    const first = firstWord(text);
    const second = firstWord(first?.rest ?? '');
    if (first === undefined) throw new MisuseError(`usage: ${usage}`);
    if (second !== undefined) {
      const { word: ref } = second;
      return this.#byRef.get(ref) ?? { number: 0, agent: first.word, ref, state: 'waiting' };
    }
    const number = Number(/^#?(\d+)$/.exec(first.word)?.[1]);
    const found = this.#byRef.get(first.word) ?? [...this.#byRef.values()].find((tell) => tell.number === number);
    if (found !== undefined) return found;
    throw new MisuseError(`Nothing was told here under "${first.word}"; usage: ${usage}`);
  }

  #forgetOne(): void {
    for (const [ref, { state }] of this.#byRef) {
      if (state === 'shown') {
        this.#byRef.delete(ref);
        return;
      }
    }
    const [oldest] = this.#byRef.keys();
    if (oldest !== undefined) this.#byRef.delete(oldest);
  }
}

/** How a tell is called: its number, or its ref where it has none. */
export function labelOf({ number, ref }: Tell): string {
  return number === 0 ? ref : `#${number}`;
}
