/** Tool calls of the turn in flight: remembered with their results, so that a turn that is tried again repeats none of them. */
import type { BackendEvent, Message, Prompt } from '../backends/backend.js';
import { frozenJson } from '../internal/json.js';
import type { AgentMemory, KeptCall } from './memory.js';

/** The calls of one turn. */
export class CallLog {
  readonly #memory: Pick<AgentMemory, 'put' | 'flush'>;
  readonly #open = new Map<string, Omit<KeptCall, 'output' | 'isError'>>();
  #answered: readonly KeptCall[];
  #round: number;
  #isAnswering = true;

  /** @param earlier what another process had of the same turn */
  constructor(memory: Pick<AgentMemory, 'put' | 'flush'>, earlier: readonly KeptCall[]) {
    this.#memory = memory;
    this.#answered = earlier;
    this.#round = earlier.at(-1)?.round ?? 0;
  }

  /** Calls with their results so far, those of an earlier process first. */
  get answered(): readonly KeptCall[] {
    return this.#answered;
  }

  /** Resolves when a result is remembered; the turn waits for that before it goes on. */
  hear(event: BackendEvent): Promise<void> | undefined {
    if (event.type === 'tool_use') {
      if (this.#isAnswering) this.#round += 1;
      this.#isAnswering = false;
      this.#open.set(event.id, { round: this.#round, id: event.id, name: event.name, input: asJson(event.input) });
    }
    if (event.type !== 'tool_result') return undefined;
    this.#isAnswering = true;
    const call = this.#open.get(event.id);
    // One that was answered before the process died may be told again.
    if (call === undefined || this.#answered.some(({ id }) => id === event.id)) return undefined;
    this.#answered = [...this.#answered, { ...call, output: asJson(event.output), isError: event.isError }];
    this.#memory.put('calls', this.#answered);
    return this.#memory.flush();
  }
}

/** The calls that the model waits for the results of: those of the last round. */
export function lastRound(calls: readonly KeptCall[]): readonly KeptCall[] {
  return calls.filter(({ round }) => round === calls.at(-1)?.round);
}

/** A turn that was answered, as the end of a conversation. */
export function answeredTurn(prompt: Prompt, calls: readonly KeptCall[], text: string): readonly Message[] {
  const said: readonly Message[] = text === '' ? [] : [{ role: 'model', content: [{ text }] }];
  return [askedMessage(prompt), ...roundsOf(calls).flat(), ...said];
}

/**
 * What a turn had come to when its process died, as the end of a conversation. Where the backend goes on from the results
 * of the last round they are left out; where it is asked the same again, all of it is marked as cut short.
 */
export function unfinishedTurn(prompt: Prompt, calls: readonly KeptCall[], goesOn: boolean): readonly Message[] {
  if (calls.length === 0) return [];
  const turn = answeredTurn(prompt, calls, '');
  return goesOn ? turn.slice(0, -1) : turn.map((message) => ({ ...message, metadata: { interrupted: true } }));
}

function askedMessage(prompt: Prompt): Message {
  return { role: 'user', content: typeof prompt === 'string' ? [{ text: prompt }] : [...prompt] };
}

/** What the model wanted in each round, and what it was told. */
function roundsOf(calls: readonly KeptCall[]): readonly (readonly [asked: Message, answers: Message])[] {
  return [...new Set(calls.map(({ round }) => round))].map((round) => {
    const own = calls.filter((call) => call.round === round);
    const requests = own.map(({ id: ref, name, input }) => ({ toolRequest: { ref, name, input } }));
    const responses = own.map(({ id: ref, name, output }) => ({ toolResponse: { ref, name, output } }));
    return [
      { role: 'model', content: requests },
      { role: 'tool', content: responses },
    ];
  });
}

function asJson(value: unknown): unknown {
  return frozenJson(value ?? null, () => {}) ?? null;
}
