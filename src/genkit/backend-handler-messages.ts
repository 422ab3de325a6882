import type { Part } from '../../schemas/index.js';
import type { Message, Response } from '../backends/backend.js';

type Role = 'model' | 'tool';

/** A turn as messages of a conversation: what was asked, what was said, and every tool call with its result. */
export function messagesOf(asked: Message, response: Response, wasCut: boolean): Message[] {
  const said = response.omittedEvents === undefined ? saidInSteps(response) : saidAtOnce(response);
  const answer = said.flatMap(({ role, content }): Message[] => {
    const kept = role === 'model' ? content.filter((part) => isAnswered(part, said)) : content;
    return kept.length === 0 ? [] : [wasCut ? interrupted({ role, content: kept }) : { role, content: kept }];
  });
  return [wasCut ? interrupted(asked) : asked, ...answer];
}

function interrupted(message: Message): Message {
  return { ...message, metadata: { ...message.metadata, interrupted: true } };
}

function saidAtOnce({ text }: Response): Message[] {
  return text === '' ? [] : [{ role: 'model', content: [{ text }] }];
}

function saidInSteps(response: Response): Message[] {
  const messages: { role: Role; content: Part[] }[] = [];
  const names = new Map<string, string>();
  const add = (role: Role, part: Part) => {
    const last = messages.at(-1);
    if (last?.role !== role) return void messages.push({ role, content: [part] });
    const before = last.content.at(-1);
    if (part.text === undefined || before?.text === undefined) last.content.push(part);
    else last.content[last.content.length - 1] = { text: before.text + part.text };
  };
  for (const event of response.events) {
    if (event.type === 'text' && event.text !== '') add('model', { text: event.text });
    if (event.type === 'tool_use') {
      names.set(event.id, event.name);
      add('model', { toolRequest: { name: event.name, ref: event.id, input: asJson(event.input) } });
    }
    if (event.type === 'tool_result')
      add('tool', { toolResponse: { name: names.get(event.id) ?? '', ref: event.id, output: asJson(event.output) } });
  }
  // Where no tool came between, the result's own text is the answer.
  const isPlain = messages.every(
    ({ role, content }) => role === 'model' && content.every(({ text }) => text !== undefined),
  );
  return isPlain ? saidAtOnce(response) : messages;
}

/** A call that was cut off before its result would make the conversation one no model accepts. */
function isAnswered({ toolRequest }: Part, said: readonly Message[]): boolean {
  if (toolRequest === undefined) return true;
  return said.some(({ content }) => content.some(({ toolResponse }) => toolResponse?.ref === toolRequest.ref));
}

function asJson(value: unknown): unknown {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? null : JSON.parse(text);
  } catch {
    return String(value);
  }
}
