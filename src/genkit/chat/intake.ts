/** A chat's inputs: taken as they come, so that a wish to detach is heard while a turn runs, and handed out one by one. */
import type { MessageData } from 'genkit';
import { type AgentInput, AgentInputSchema } from 'genkit/beta';
import { checked } from '../../agent/checks.js';
import { InvalidValueError } from '../../errors.js';
import { diff } from '../../internal/diff.js';
import { EventQueue } from '../event-queue.js';
import { inputsUntil } from '../inputs-until.js';

/** Inputs in line for one chat, for one who takes them. */
export class ChatIntake implements AsyncIterable<AgentInput> {
  readonly #line = new EventQueue<AgentInput>();

  /**
   * Takes what the source brings until it or the run ends, then closes the line. Rejects for an input that is none.
   *
   * @param onDetach called, and waited for, before an input that asks to be sent to the background is put in line
   */
  async fill(source: AsyncIterable<unknown>, runEnded: Promise<unknown>, onDetach: () => Promise<void>): Promise<void> {
    try {
      for await (const value of inputsUntil(runEnded, source)) {
        // "Run" in the Dev UI without an input, and `run()` without one, open a chat and say nothing.
        if (value === undefined || value === null) continue;
        const input = checked(AgentInputSchema, value, 'input');
        if (input.detach) await onDetach();
        if (input.detach && input.message === undefined && input.resume === undefined) continue;
        this.#line.push(input);
      }
    } finally {
      this.#line.end();
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<AgentInput, undefined> {
    return this.#line;
  }
}

/**
 * The message an input is to the agent. The answer to a tool interrupt becomes a message of the role `tool`, if what it
 * answers was really asked: else a client could make up tool calls and what came of them.
 *
 * Throws `InvalidValueError`.
 */
export function messageOf({ message, resume }: AgentInput, history: readonly MessageData[]): MessageData {
  if (resume === undefined && message !== undefined) return message;
  if (resume === undefined || message !== undefined) {
    const received = resume === undefined ? 'neither' : 'both';
    throw new InvalidValueError('input', [{ path: '', expected: 'either a message or a resume', received }]);
  }
  const { respond = [], restart = [] } = resume;
  for (const { toolResponse } of respond) findRequest(history, toolResponse, 'respond');
  for (const { toolRequest } of restart) {
    const asked = findRequest(history, toolRequest, 'restart');
    if (diff(asked.input, toolRequest.input).length === 0) continue;
    const expected = `the inputs of "${toolRequest.name}" as they stand in session history`;
    throw new InvalidValueError('input', [{ path: 'resume.restart', expected, received: 'modified inputs' }]);
  }
  return { role: 'tool', content: [...respond, ...restart], metadata: { resumed: true } };
}

/** The newest request of a tool under this name and reference. */
function findRequest(history: readonly MessageData[], { name, ref }: { name: string; ref?: string }, member: string) {
  for (const { role, content } of [...history].reverse()) {
    const asked =
      role === 'model' ? content.find(({ toolRequest: a }) => a?.name === name && a.ref === ref) : undefined;
    if (asked?.toolRequest !== undefined) return asked.toolRequest;
  }
  const received = `"${name}", which was not found in session history`;
  throw new InvalidValueError('input', [{ path: `resume.${member}`, expected: 'a tool that was requested', received }]);
}
