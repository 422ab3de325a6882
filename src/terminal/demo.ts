/** A few agents for those who have no module yet: offline, without intelligence, and they say so. */
import type { Backend, BackendEvent } from '../backends/backend.js';
import { type AgentHost, defineBehaviour, noreply, prompt } from '../host/host.js';
import type { Clock } from '../internal/clock.js';

/** What is said about the demo before it begins. */
export const demoNote =
  'A demo: these agents work offline, by a few rules and without AI, and their prices are made up. ' +
  'For yours: genkitx-agent MODULE (--help says what a module is).';

/** So that one can see the words come. */
const pauseMs = 25;
/** US dollars a word; made up. */
const price = 0.00001;

/** What the demo's agents remember. */
interface Notes {
  readonly notes: readonly string[];
}

/**
 * Starts three agents: `writer` drafts what it is asked for and shows it to `critic`; `critic` finds something in it and
 * notifies `writer`, who notes it; `parrot` repeats itself until it is halted or interrupted.
 */
export async function startDemo(host: AgentHost, clock: Clock): Promise<void> {
  const writer = defineBehaviour({
    name: 'writer',
    init: () => ({ state: { notes: [] } as Notes }),
    async handleResponse(_ref, { text }, state) {
      await host.tell('critic', text);
      return noreply(state);
    },
    handleEvent: (note: unknown, { notes }) => noreply({ notes: [...notes, textOf(note)].slice(-5) }),
  });
  const critic = defineBehaviour({
    name: 'critic',
    init: () => ({ state: { notes: [] } as Notes }),
    async handleResponse(_ref, { text }, { notes }) {
      await host.notify('writer', text);
      return noreply({ notes: [...notes, text].slice(-5) });
    },
  });
  const parrot = defineBehaviour({
    name: 'parrot',
    init: () => ({ state: { notes: [] } as Notes }),
    handleResponse: (_ref, { text }, state) => prompt(text, state),
    handleError: (_ref, _error, state) => noreply(state),
  });
  await host.start(writer, { name: 'writer', backend: demoBackend(draft, clock) });
  await host.start(critic, { name: 'critic', backend: demoBackend(remark, clock) });
  await host.start(parrot, { name: 'parrot', backend: demoBackend(repeat, clock) });
}

function draft(wish: string): string {
  return `This is all a demo can draft about "${wish}": it came to pass, nobody noticed, and everybody was content.`;
}

function remark(text: string): string {
  const words = text.match(/\S+/g) ?? [];
  const longest = words.reduce((one, other) => (other.length > one.length ? other : one), '');
  return `${words.length} words, and the longest is ${longest}: say it with fewer.`;
}

function repeat(text: string): string {
  return text.endsWith(', again!') ? text : `${text}, again!`;
}

/** A model without intelligence: says what a rule makes of the prompt, word by word, and counts the words as tokens. */
export function demoBackend(rule: (prompt: string) => string, clock: Clock): Backend<string> {
  return {
    name: 'demo',
    startSession: () => crypto.randomUUID(),
    resumeSession: (sessionId) => sessionId,
    terminateSession: () => {},
    prompt(sessionId, asked, { signal }) {
      const text = textOf(asked);
      return { session: sessionId, events: speak(rule(text), text, { sessionId, signal, clock }) };
    },
  };
}

interface Speaking {
  readonly sessionId: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

async function* speak(
  answer: string,
  asked: string,
  { sessionId, signal, clock }: Speaking,
): AsyncGenerator<BackendEvent> {
  yield { type: 'session', sessionId };
  const inputTokens = wordsOf(asked).length;
  const words = wordsOf(answer);
  for (const word of words) {
    await pause(clock, signal);
    yield { type: 'text', text: word };
  }
  yield { type: 'usage', usage: { inputTokens, outputTokens: words.length } };
  yield { type: 'result', sessionId, costUsd: (inputTokens + words.length) * price, stopReason: 'end_turn' };
}

/** Each with the space behind it. */
function wordsOf(text: string): readonly string[] {
  return text.match(/\S+\s*/g) ?? [];
}

/** A turn that is cut short ends at its next word: that is soon enough. */
async function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => void clock.after(pauseMs, resolve, { keepAlive: true }));
  signal.throwIfAborted();
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
