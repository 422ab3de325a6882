import { genkit, z } from 'genkit';
import { describe, expect, test } from 'vitest';
import type { BackendEvent } from '../../src/backends/backend.js';
import { type BackendSession, openBackendSession } from '../../src/backends/backend-session.js';
import { runPrompt } from '../../src/backends/run-prompt.js';
import { scriptedBackend } from '../../src/backends/scripted.js';
import { BackendStateSchema, backendHandler } from '../../src/genkit/backend-handler.js';
import { defineAgent } from '../../src/genkit/define-agent.js';
import { agentBackend } from '../../src/host/agent-backend.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testBackend } from '../../src/testing/backend-suite.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { scriptedModel } from '../support/scripted-model.js';
import { collect, errorOf, Gate, quiet } from '../support/waiting.js';

const ai = genkit({});
let count = 0;

const texts = { inputSchema: z.string(), streamSchema: z.string() };

function nextName(): string {
  count += 1;
  return `agent-${count}`;
}

describe('the contract, of a backend that is an agent that is a backend', () => {
  const fresh = () => {
    const own = genkit({});
    const model = scriptedModel();
    const store = new MemorySessionStore();
    const config = { name: 'scripted', ...texts, stateSchema: BackendStateSchema, store };
    return { ...model, backend: agentBackend(defineAgent(own, config, backendHandler(model.backend))) };
  };
  const skip = [
    {
      case: 'what the model is told before everything else reaches it in every turn',
      reason: 'an agent decides itself what its model is told',
    },
    {
      case: 'usage is what each turn used, whatever the vendor counts',
      reason: 'an agent tells what it has used when its run ends',
    },
    {
      case: 'a tool call and its result are told, in that order, before the answer',
      reason: 'an agent’s reader gets chunks; see the test of toText',
    },
  ];
  testBackend({ test, create: fresh, skip });
});

describe('the way round: an agent that is a backend that is an agent', () => {
  test('answers as the agent inside does', async () => {
    const inside = defineAgent(ai, { name: nextName(), ...texts }, async ({ turns, responder }) => {
      let seen = 0;
      await turns(async (input) => {
        seen += 1;
        for (const word of `${seen}: ${input}`.split(' ')) await responder.send(word);
      });
      return { output: null };
    });
    const config = { name: nextName(), ...texts, outputSchema: z.string(), stateSchema: BackendStateSchema };
    const outside = defineAgent(ai, config, backendHandler(agentBackend(inside)));
    const connection = outside.streamBidi();
    connection.send('a b');
    expect(await collect(connection.receive())).toEqual(['1:', 'a', 'b']);
    connection.send('c');
    expect(await collect(connection.receive())).toEqual(['2:', 'c']);
    connection.close();
    expect(await connection.output()).toMatchObject({ output: '2:c', state: { backendSessionId: expect.any(String) } });
  });
});

describe('agentBackend', () => {
  test('keeps one connection open from prompt to prompt, so an agent without a store remembers', async () => {
    let runs = 0;
    const agent = defineAgent(ai, { name: nextName(), ...texts }, async ({ turns, responder }) => {
      runs += 1;
      const heard: string[] = [];
      await turns(async (input) => {
        heard.push(input);
        await responder.send(heard.join('+'));
      });
      return { output: heard };
    });
    const session = await openBackendSession(agentBackend(agent));
    await session.send('a');
    expect(await session.send('b')).toMatchObject({ text: 'a+b', stopReason: 'end_turn', isError: false });
    expect(session.turnCount).toBe(2);
    await session.stop();
    expect(runs).toBe(1);
  });

  test('goes on after a turn that failed, and after a run that ended', async () => {
    const failing = defineAgent(ai, { name: nextName(), ...texts }, async ({ turns, responder }) => {
      await turns(async (input) => {
        if (input === 'fail') throw new RangeError('as asked');
        await responder.send(`ok ${input}`);
      });
      return { output: null };
    });
    const backend = agentBackend(failing);
    const session = await openBackendSession(backend);
    expect(await errorOf(session.send('fail'))).toMatchObject({
      failure: { message: 'as asked', provider: backend.name },
    });
    expect((await session.send('now')).text).toBe('ok now');

    const short = defineAgent(ai, { name: nextName(), ...texts }, async ({ inputStream, responder }) => {
      for await (const input of inputStream) {
        await responder.send(`only ${input}`);
        break;
      }
      return { output: null };
    });
    const other = await openBackendSession(agentBackend(short));
    expect((await other.send('a')).text).toBe('only a');
    expect((await other.send('b')).text).toBe('only b');
  });

  test('is resumed by the agent’s session id', async () => {
    const store = new MemorySessionStore();
    const stateSchema = z.object({ heard: z.array(z.string()).default([]) });
    const agent = defineAgent(
      ai,
      { name: nextName(), ...texts, stateSchema, store },
      async ({ turns, responder, session }) => {
        await turns(async (input) => {
          await session.updateState((draft) => void draft.heard.push(input));
          await responder.send(session.state.heard.join('+'));
        });
        return { output: null };
      },
    );
    const first = await openBackendSession(agentBackend(agent));
    await first.send('a');
    await first.stop();
    const second = await openBackendSession(agentBackend(agent), { resume: first.sessionId ?? '' });
    expect((await second.send('b')).text).toBe('a+b');
    expect(second.sessionId).toBe(first.sessionId);
  });

  test('speaks to an agent in its own types', async () => {
    const sum = defineAgent(
      ai,
      {
        name: nextName(),
        inputSchema: z.object({ add: z.number() }),
        streamSchema: z.object({ total: z.number() }),
        stateSchema: z.object({ total: z.number() }),
      },
      async ({ turns, responder, session }) => {
        await turns(async ({ add }) => {
          await session.updateState((draft) => {
            draft.total += add;
          });
          await responder.send(session.state);
        });
        return { output: null };
      },
    );
    const backend = agentBackend(sum, {
      toInput: (prompt) => ({ add: Number(prompt) }),
      toText: ({ total }) => String(total),
      toInit: ({ system }) => ({ total: Number(system ?? 0) }),
    });
    const session = await openBackendSession(backend, { system: '100' });
    await session.send('1');
    expect((await session.send('2')).text).toBe('103');
    expect(await errorOf(session.send('three'))).toMatchObject({ kind: 'invalid_request', retryable: false });
    // Without a translation the chunk says nothing to a reader of text.
    const mute = agentBackend(sum, { toInput: () => ({ add: 1 }), init: { total: 0 } });
    expect((await (await openBackendSession(mute)).send('x')).text).toBe('');
  });

  test('reads Genkit’s content, and takes no image for text', async () => {
    const agent = defineAgent(
      ai,
      { name: nextName(), inputSchema: z.string(), streamSchema: z.object({ content: z.array(z.any()) }) },
      async ({ turns, responder }) => {
        await turns(async () =>
          responder.send({ content: [{ text: 'a' }, { media: { url: 'data:,' } }, { text: 'b' }] }),
        );
        return { output: null };
      },
    );
    const session = await openBackendSession(agentBackend(agent));
    expect((await session.send('x')).text).toBe('ab');
    expect(await errorOf(session.send([{ media: { url: 'data:,' } }]))).toMatchObject({ kind: 'invalid_request' });
  });

  describe('a turn that is cancelled', () => {
    /** Remembers what it heard; stays with `stay` until it is interrupted, with `deaf` until the gate opens. */
    function agentThatStays() {
      const gate = new Gate();
      const seen = { runs: 0, gate };
      const agent = defineAgent(ai, { name: nextName(), ...texts }, async ({ turns, responder }) => {
        seen.runs += 1;
        const heard: string[] = [];
        await turns(async (input, { signal }) => {
          heard.push(input);
          await responder.send(heard.join('+'));
          if (input === 'stay') await new Promise((resolve) => signal.addEventListener('abort', resolve));
          if (input === 'deaf') await gate.opened;
          if (input === 'stay') throw new RangeError('on its way out');
        });
        return { output: null };
      });
      return { agent, seen };
    }

    /** Prompts, and cancels as soon as something was said. */
    async function cancel(session: BackendSession, prompt: string) {
      const controller = new AbortController();
      const onEvent = ({ type }: BackendEvent) => void (type === 'text' && controller.abort('enough'));
      return errorOf(session.send(prompt, { signal: controller.signal, onEvent }));
    }

    test('is cut short alone: an agent without a store remembers, and the next turn has its own text only', async () => {
      const { agent, seen } = agentThatStays();
      const session = await openBackendSession(agentBackend(agent));
      await session.send('a');
      expect(await cancel(session, 'stay')).toMatchObject({ code: 'BACKEND_CANCELLED', cause: 'enough' });
      expect((await session.send('b')).text).toBe('a+stay+b');
      await session.stop();
      expect(seen.runs).toBe(1);
    });

    test('is told as cancelled to whoever reads its events, and by nothing after that', async () => {
      const { agent } = agentThatStays();
      const backend = agentBackend(agent);
      const controller = new AbortController();
      const { events } = await backend.prompt(await backend.startSession(), 'stay', { signal: controller.signal });
      const told: BackendEvent[] = [];
      for await (const event of events) {
        told.push(event);
        if (event.type === 'text') controller.abort('enough');
      }
      expect(told.map(({ type }) => type)).toEqual(['session', 'text', 'error']);
      expect(told.at(-1)).toMatchObject({ error: { kind: 'cancelled', retryable: false, raw: 'enough' } });
    });

    test('ends the run when it does not heed its signal in time', async () => {
      const { agent, seen } = agentThatStays();
      const clock = new ManualClock();
      const session = await openBackendSession(agentBackend(agent, { cancelGraceMs: 100, clock }));
      expect(await cancel(session, 'deaf')).toMatchObject({ code: 'BACKEND_CANCELLED' });
      const next = session.send('b');
      await quiet();
      expect(seen.runs).toBe(1);
      clock.advance(100);
      expect((await next).text).toBe('b');
      expect(seen.runs).toBe(2);
      seen.gate.open();
    });

    test('that ends by itself in time keeps its run', async () => {
      const { agent, seen } = agentThatStays();
      const clock = new ManualClock();
      const session = await openBackendSession(agentBackend(agent, { cancelGraceMs: 100, clock }));
      await cancel(session, 'deaf');
      const next = session.send('b');
      await quiet();
      clock.advance(99);
      seen.gate.open();
      expect((await next).text).toBe('deaf+b');
      clock.advance(100);
      await quiet();
      expect((await session.send('c')).text).toBe('deaf+b+c');
      expect(seen.runs).toBe(1);
    });

    test('ends the run of an agent with a loop of its own', async () => {
      let runs = 0;
      let heard: unknown;
      const agent = defineAgent(ai, { name: nextName(), ...texts }, async ({ inputStream, responder, signal }) => {
        runs += 1;
        for await (const input of inputStream) {
          await responder.send(input);
          if (input === 'stay') await new Promise((resolve) => signal.addEventListener('abort', resolve));
          heard ??= signal.reason;
          await responder.endTurn();
        }
        return { output: null };
      });
      const session = await openBackendSession(agentBackend(agent));
      await cancel(session, 'stay');
      expect((await session.send('b')).text).toBe('b');
      expect(runs).toBe(2);
      expect(heard).toMatchObject({ code: 'RUN_ABORTED', cause: 'enough' });
    });

    test('does not end the run when the turn was over already', async () => {
      let runs = 0;
      const agent = defineAgent(ai, { name: nextName(), ...texts }, async ({ turns, responder }) => {
        runs += 1;
        await turns(async (input) => {
          for (const word of input.split(' ')) await responder.send(word);
        });
        return { output: null };
      });
      const backend = agentBackend(agent);
      const session = await backend.startSession();
      const { events } = await backend.prompt(session, 'a b c', { signal: new AbortController().signal });
      for await (const { type } of events) {
        if (type !== 'text') continue;
        await quiet();
        break;
      }
      expect((await runPrompt(backend, session, 'd')).response.text).toBe('d');
      expect(runs).toBe(1);
    });
  });

  test('ends the run of a session that is terminated in the middle of a turn', async () => {
    const scripted = scriptedBackend({ turns: [[{ type: 'text', text: 'a' }, new Gate().opened]] });
    const agent = defineAgent(
      ai,
      { name: nextName(), ...texts, stateSchema: BackendStateSchema },
      backendHandler(scripted),
    );
    const backend = agentBackend(agent);
    const session = await backend.startSession();
    const turn = runPrompt(backend, session, 'go');
    await expect.poll(() => scripted.active).toBe(1);
    await backend.terminateSession(session);
    expect((await turn).error).toMatchObject({ code: 'BACKEND_CANCELLED' });
    await expect.poll(() => scripted.active).toBe(0);
  });
});
