/** The backend suite's model, played by the scripted backend. */
import type { BackendEvent } from '../../src/backends/backend.js';
import { BackendError } from '../../src/backends/backend-error.js';
import { type FailureKind, failure } from '../../src/backends/failure.js';
import { type ScriptedBackend, type ScriptedPrompt, scriptedBackend } from '../../src/backends/scripted.js';
import type { BackendUnderTest, ModelTurn } from '../../src/testing/backend-suite.js';

export interface ScriptedUnderTest extends BackendUnderTest {
  readonly scripted: ScriptedBackend;
}

/** A scripted backend that does what the suite says. */
export function scriptedModel(): ScriptedUnderTest {
  const scripted = scriptedBackend();
  return {
    scripted,
    backend: scripted,
    play: (turn) => scripted.script((asked) => events(turn, asked)),
    asked: () =>
      scripted.prompts.map(({ text, earlier, sessionId }) => {
        const system = scripted.started.find(({ id }) => id === sessionId)?.options.system;
        return { prompt: text, earlier, ...(system === undefined ? {} : { system }) };
      }),
    working: () => scripted.active,
  };
}

/** What a turn of the suite's model looks like as events. */
export async function* events(
  { text = [], tool, usage, end = 'done' }: ModelTurn,
  { sessionId }: ScriptedPrompt,
): AsyncGenerator<BackendEvent> {
  const failed = (kind: FailureKind) => failure('scripted', kind, `as asked: ${kind}`);
  yield { type: 'session', sessionId };
  if (end !== 'done' && end !== 'hang' && end !== 'drop') return yield { type: 'error', error: failed(end) };
  if (tool !== undefined) {
    yield { type: 'tool_use', id: 'call', name: tool.name, input: tool.input };
    yield { type: 'tool_result', id: 'call', output: tool.output, isError: false };
  }
  for (const piece of text) yield { type: 'text', text: piece };
  if (end === 'hang') await new Promise(() => {});
  if (end === 'drop') throw new BackendError(failed('network'));
  if (usage !== undefined) yield { type: 'usage', usage };
  yield { type: 'result', sessionId };
}
