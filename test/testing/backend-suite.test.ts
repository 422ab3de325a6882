/** The suite is only worth what it catches: each of these backends breaks one rule, and a case must name it. */
import { describe, expect, test } from 'vitest';
import type { Backend, BackendEvent } from '../../src/backends/backend.js';
import { failure } from '../../src/backends/failure.js';
import type { ScriptedSession } from '../../src/backends/scripted.js';
import { type BackendUnderTest, testBackend } from '../../src/testing/backend-suite.js';
import type { SkippedCase } from '../../src/testing/cases.js';
import { scriptedModel } from '../support/scripted-model.js';

type Events = AsyncIterable<BackendEvent>;
type Scripted = Backend<ScriptedSession>;

/** Runs every case; answers the names of those that fail. */
async function failures(create: () => BackendUnderTest, skip: readonly SkippedCase[] = []): Promise<string[]> {
  const cases: [string, () => Promise<void>][] = [];
  testBackend({ test: (name, run) => cases.push([name, run]), create, skip });
  const failed: string[] = [];
  await Promise.all(cases.map(([name, run]) => run().catch(() => failed.push(name))));
  return failed;
}

/** A backend that passes everything on; what is given instead breaks it. */
function altered(change: (backend: Scripted) => Partial<Scripted>): () => BackendUnderTest {
  return () => {
    const model = scriptedModel();
    return { ...model, patienceMs: 500, backend: { ...model.scripted, ...change(model.scripted) } as Backend };
  };
}

/** A backend that tells its events in its own way. */
function telling(change: (events: Events, signal: AbortSignal) => Events): () => BackendUnderTest {
  return altered((backend) => ({
    async prompt(session, prompt, options) {
      const turn = await backend.prompt(session, prompt, options);
      return { ...turn, events: change(turn.events, options.signal) };
    },
  }));
}

/** Changes events one by one; an empty list leaves one out. */
function mapping(change: (event: BackendEvent) => readonly BackendEvent[]): () => BackendUnderTest {
  return telling(async function* (events) {
    for await (const event of events) yield* change(event);
  });
}

const never = () => new AbortController().signal;
let count = 0;

const broken: Record<string, { create: () => BackendUnderTest; caughtBy: string }> = {
  'tells two results': {
    create: mapping((event) => (event.type === 'result' ? [event, event] : [event])),
    caughtBy: 'a prompt is answered with its text and one terminal, a result, which is the last event',
  },
  'tells no result': {
    create: mapping((event) => (event.type === 'result' ? [] : [event])),
    caughtBy: 'an answer without a text is an answer',
  },
  'tells usage after the result': {
    create: mapping((event) => (event.type === 'result' ? [event, { type: 'usage', usage: {} }] : [event])),
    caughtBy: 'events may be read late',
  },
  'tells everything at the end': {
    create: telling(async function* (events, signal) {
      const all: BackendEvent[] = [];
      for await (const event of events) all.push(event);
      signal.throwIfAborted();
      yield* all;
    }),
    caughtBy: 'text arrives while the model is still speaking',
  },
  'tidies up the text': {
    create: mapping((event) => (event.type === 'text' ? [{ ...event, text: event.text.trim() }] : [event])),
    caughtBy: 'a text arrives as it was said',
  },
  'does not heed its signal': {
    create: altered((backend) => ({
      prompt: (session, prompt) => backend.prompt(session, prompt, { signal: never() }),
    })),
    caughtBy: 'a turn that is cancelled ends within a second, as cancelled, and so does its work',
  },
  'begins although its signal has fired': {
    create: altered((backend) => ({
      prompt: (session, prompt, { signal }) =>
        backend.prompt(session, prompt, { signal: signal.aborted ? never() : signal }),
    })),
    caughtBy: 'a signal that has fired already asks nothing of the model',
  },
  'leaves its work alone when nobody reads on': {
    create: telling((events) => {
      const iterator = events[Symbol.asyncIterator]();
      return { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
    }),
    caughtBy: 'a reader that leaves early ends the work',
  },
  'works ahead of its reader and does not stop': {
    create: altered((backend) => ({
      async prompt(session, prompt, options) {
        const turn = await backend.prompt(session, prompt, { signal: never() });
        options.signal.throwIfAborted();
        const iterator = turn.events[Symbol.asyncIterator]();
        const first = iterator.next();
        const rest: Events = { [Symbol.asyncIterator]: () => iterator };
        return {
          ...turn,
          events: (async function* () {
            const { value, done } = await first;
            if (!done) yield value;
            yield* rest;
          })(),
        };
      },
    })),
    caughtBy: 'events that nobody reads leave nothing behind when the session ends',
  },
  'goes on with a terminated session': {
    create: altered((backend) => ({
      terminateSession(session) {
        if (backend instanceof Object && 'terminated' in backend && (backend.terminated as unknown[]).includes(session))
          throw new Error('twice');
        return backend.terminateSession(session);
      },
    })),
    caughtBy: 'a session that is terminated stops its work, and may be terminated again',
  },
  'starts anew with every prompt': {
    create: altered((backend) => ({
      async prompt(_, prompt, options) {
        return backend.prompt(await backend.startSession(), prompt, options);
      },
    })),
    caughtBy: 'each turn knows of those before it',
  },
  'has one session for all': {
    create: altered((backend) => {
      const only = backend.startSession();
      return { startSession: () => only };
    }),
    caughtBy: 'two sessions know nothing of each other, also at the same time',
  },
  'has no ids': {
    create: mapping((event) => {
      if (event.type === 'result') return [{ type: 'result' }];
      return event.type === 'session' ? [] : [event];
    }),
    caughtBy: 'a session tells an id of its own, and keeps it',
  },
  'tells another id in every turn': {
    create: mapping((event) =>
      event.type === 'session' ? [{ type: 'session', sessionId: `id-${count++}` }] : [event],
    ),
    caughtBy: 'a session tells an id of its own, and keeps it',
  },
  'remembers turns that failed': {
    create: altered((backend) => ({
      async prompt(session, prompt, options) {
        const turn = await backend.prompt(session, prompt, options);
        backend.updateSession?.(session, { type: 'result' });
        return turn;
      },
      updateSession: (session) => session,
    })),
    caughtBy: 'a turn that failed is no part of the conversation',
  },
  'starts anew instead of taking up': {
    create: altered((backend) => ({ resumeSession: () => backend.startSession() })),
    caughtBy: 'a session is taken up by its id, if the backend can do that',
  },
  'asks anew instead of going on with a turn': {
    create: altered((backend) => ({
      resumeTurn: (session, _, options) => backend.prompt(session, 'What is tea?', options),
    })),
    caughtBy: 'a turn that another process has left goes on from the results of its calls, if the backend can do that',
  },
  'does not pass on what the model is told first': {
    create: altered((backend) => ({ startSession: () => backend.startSession({}) })),
    caughtBy: 'what the model is told before everything else reaches it in every turn',
  },
  'takes a lost connection for the end': {
    create: telling(async function* (events, signal) {
      try {
        yield* events;
      } catch (error) {
        if (signal.aborted) throw error;
        yield { type: 'result' };
      }
    }),
    caughtBy: 'a connection that is lost is no answer, and no cancellation either',
  },
  'takes a lost connection for a cancellation': {
    create: telling(async function* (events) {
      try {
        yield* events;
      } catch (error) {
        yield { type: 'error', error: failure('scripted', 'cancelled', 'aborted', { raw: error }) };
      }
    }),
    caughtBy: 'a connection that is lost is no answer, and no cancellation either',
  },
  'takes a cancellation for a lost connection': {
    create: telling(async function* (events) {
      try {
        yield* events;
      } catch (error) {
        yield { type: 'error', error: failure('scripted', 'network', 'lost', { raw: error }) };
      }
    }),
    caughtBy: 'a turn that is cancelled ends within a second, as cancelled, and so does its work',
  },
  'answers one prompt at a time': {
    create: altered((backend) => {
      let last: Promise<unknown> = Promise.resolve();
      return {
        async prompt(session, prompt, options) {
          const before = last;
          let done = () => {};
          last = new Promise<void>((resolve) => {
            done = resolve;
          });
          await before;
          const { events, ...turn } = await backend.prompt(session, prompt, options);
          const untilDone = async function* () {
            try {
              yield* events;
            } finally {
              done();
            }
          };
          return { ...turn, events: untilDone() };
        },
      };
    }),
    caughtBy: 'a hanging model holds up its own session only',
  },
  'cancels everything at once': {
    create: altered((backend) => {
      const all = new AbortController();
      return {
        prompt(session, prompt, { signal }) {
          signal.addEventListener('abort', () => all.abort());
          return backend.prompt(session, prompt, { signal: AbortSignal.any([signal, all.signal]) });
        },
      };
    }),
    caughtBy: 'a turn that is cancelled takes no other with it',
  },
  'is of no use once a turn was cancelled': {
    create: altered((backend) => {
      const spoilt = new Set<string>();
      return {
        prompt(session, prompt, options) {
          if (spoilt.has(session.id)) throw new Error('spoilt');
          options.signal.addEventListener('abort', () => spoilt.add(session.id));
          return backend.prompt(session, prompt, options);
        },
      };
    }),
    caughtBy: 'a session goes on after a turn that was cancelled',
  },
  'tells no retry': {
    create: mapping((event) =>
      event.type === 'error' ? [{ ...event, error: { ...event.error, retryable: false } }] : [event],
    ),
    caughtBy: "a vendor's failure is told in full: rate_limit",
  },
  'retries everything': {
    create: mapping((event) =>
      event.type === 'error' ? [{ ...event, error: { ...event.error, retryable: true } }] : [event],
    ),
    caughtBy: "a vendor's failure is told in full: authentication",
  },
  'throws what the vendor says': {
    create: telling(async function* (events) {
      for await (const event of events) {
        if (event.type === 'error') throw new Error(event.error.message);
        yield event;
      }
    }),
    caughtBy: "a vendor's failure is told in full: invalid_request",
  },
  'leaves out what the vendor said': {
    create: mapping((event) => {
      if (event.type !== 'error') return [event];
      const { raw: _, ...error } = event.error;
      return [{ ...event, error: error as typeof event.error }];
    }),
    caughtBy: "a vendor's failure is told in full: server",
  },
  'counts usage from the beginning of the session': {
    create: () => {
      let total = { inputTokens: 0, outputTokens: 0 };
      return mapping((event) => {
        if (event.type !== 'usage') return [event];
        const { inputTokens = 0, outputTokens = 0 } = event.usage;
        total = { inputTokens: total.inputTokens + inputTokens, outputTokens: total.outputTokens + outputTokens };
        return [{ type: 'usage', usage: total }];
      })();
    },
    caughtBy: 'usage is what each turn used, whatever the vendor counts',
  },
  'tells a tool’s result under another id': {
    create: mapping((event) => (event.type === 'tool_result' ? [{ ...event, id: 'other' }] : [event])),
    caughtBy: 'a tool call and its result are told, in that order, before the answer',
  },
  'does not tell tool calls': {
    create: mapping((event) => (event.type === 'tool_use' ? [] : [event])),
    caughtBy: 'a tool call and its result are told, in that order, before the answer',
  },
  'tells events of its own': {
    create: mapping((event) => [event, ...(event.type === 'text' ? [{ type: 'thinking' } as never] : [])]),
    caughtBy: 'a prompt is answered with its text and one terminal, a result, which is the last event',
  },
};

describe('the suite', () => {
  test('finds nothing wrong with a good backend', async () => {
    expect(await failures(scriptedModel)).toEqual([]);
  });

  test.each(Object.entries(broken))('catches a backend that %s', async (_, { create, caughtBy }) => {
    expect(await failures(create)).toContain(caughtBy);
  });

  test('has no case that catches nothing', async () => {
    const names: string[] = [];
    testBackend({ test: (name) => names.push(name), create: scriptedModel });
    const caught = new Set(Object.values(broken).map(({ caughtBy }) => caughtBy));
    expect(names.filter((name) => !caught.has(name))).toEqual([]);
  });

  test('skips a case only by its name and with a reason', async () => {
    const name = 'usage is what each turn used, whatever the vendor counts';
    const skip = [{ case: name, reason: 'the vendor tells none' }];
    const skipped: string[] = [];
    const test = Object.assign(() => {}, { skip: (title: string) => skipped.push(title) });
    testBackend({ test, create: scriptedModel, skip });
    expect(skipped).toEqual([`${name} (skipped: the vendor tells none)`]);
    const bad = (one: SkippedCase) => () => testBackend({ test, create: scriptedModel, skip: [one] });
    expect(bad({ case: 'no such', reason: 'x' })).toThrow('expected the name of a case');
    expect(bad({ case: name, reason: ' ' })).toThrow('expected a reason');
  });
});
