/** Somebody at a screen that writes down what it shows: a host with scripted agents and a clock that stands still. */
import { PassThrough } from 'node:stream';
import { type ScriptedTurn, scriptedBackend } from '../../src/backends/scripted.js';
import {
  type AgentHostOptions,
  type Behaviour,
  createAgentHost,
  defineBehaviour,
  noreply,
} from '../../src/host/host.js';
import { Desk } from '../../src/terminal/desk.js';
import { Screen } from '../../src/terminal/screen.js';
import { talk } from '../../src/terminal/talk.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { Transcript } from '../support/transcript.js';

/** Afternoon, wherever the test runs. */
export const afternoon = new Date(2026, 0, 2, 15, 4, 5).getTime();

/** What a screen is shown on. */
export interface Seat {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** A screen with streams in place of a terminal or a pipe. */
export function screenOf({ isTTY = false, columns = 80 }: Seat = {}) {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = Object.assign(new PassThrough(), { isTTY, columns, getColorDepth: () => 1 });
  const shown = new Transcript();
  output.setEncoding('utf8').on('data', (text: string) => shown.add(text));
  return { input, output, shown, screen: new Screen({ input, output }) };
}

/** A session that runs: `type` a line, `end` the input, wait for what is `shown`. */
export function sitDown(seat: Seat = {}, options: AgentHostOptions = {}) {
  const clock = new ManualClock(afternoon);
  const host = createAgentHost({ clock, content: true, ...options });
  const { input, shown, screen } = screenOf(seat);
  const desk = new Desk(host, screen);
  const left = talk(desk, clock).finally(() => {
    screen.close();
    shown.end();
  });
  const start = async (name: string, turns: readonly ScriptedTurn[] = [], own: Partial<Behaviour<unknown>> = {}) => {
    const backend = scriptedBackend({ turns });
    await host.start(listening(own), { name, backend });
    return backend;
  };
  const type = (text: string) => void input.write(text);
  /** Types whole lines and ends the input; answers all that was shown. */
  const script = async (...lines: string[]): Promise<string> => {
    input.end(lines.map((line) => `${line}\n`).join(''));
    await left;
    return shown.text;
  };
  return { clock, host, desk, screen, shown, left, start, type, script, end: () => void input.end() };
}

function listening(own: Partial<Behaviour<unknown>>): Behaviour<unknown> {
  return defineBehaviour<unknown>({
    init: () => ({ state: { heard: [] } }),
    handleResponse: (_ref, _response, state) => noreply(state),
    ...own,
  });
}

/** A turn that has used something. */
export function paid(text: string, costUsd = 0.0123): ScriptedTurn {
  return [
    { type: 'session', sessionId: 'session-1' },
    { type: 'text', text },
    { type: 'usage', usage: { inputTokens: 120, outputTokens: 30 } },
    { type: 'result', sessionId: 'session-1', costUsd },
  ];
}
