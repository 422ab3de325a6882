/** Agents that chat, and a client that writes down what it is told. */
import { type Genkit, MessageSchema } from 'genkit';
import type { AgentInit, AgentInput, AgentOutput, AgentStreamChunk } from 'genkit/beta';
import { genkit, z } from 'genkit/beta';
import { type AgentConfig, defineAgent, type HandlerArgs, type SessionStore, type Turn } from '../../src/index.js';

export const ChatState = z.object({
  messages: z.array(MessageSchema).default([]),
  count: z.number().default(0),
  mood: z.string().optional(),
});
export type ChatState = z.infer<typeof ChatState>;

export type ChatWork = (
  input: string,
  args: HandlerArgs<ChatState, string, string>,
  turn: Turn<string>,
) => Promise<void>;

/** Remembers both sides of the talk and counts its turns; what it says beside that is up to `work`. */
export function defineTalker(
  work: ChatWork,
  options: Pick<AgentConfig, 'store' | 'clock' | 'leaseTtlMs' | 'keepVersions' | 'sendPolicy'> & {
    ai?: Genkit;
    name?: string;
  } = {},
) {
  const { ai = genkit({}), name = 'talker', ...rest } = options;
  const schemas = {
    inputSchema: z.string(),
    streamSchema: z.string(),
    outputSchema: z.string(),
    stateSchema: ChatState,
  };
  return defineAgent(ai, { name, ...schemas, ...rest }, async (args) => {
    await args.turns(async (input, turn) => {
      await args.session.updateState((draft) => {
        draft.messages.push({ role: 'user', content: [{ text: input }] });
        draft.count += 1;
      });
      await work(input, args, turn);
    });
    return { output: 'goodbye' };
  });
}

/** Answers in two pieces, and remembers the answer. */
export const echo: ChatWork = async (input, { responder, session }) => {
  await responder.send('you said ');
  await responder.send(input);
  await session.updateState((draft) => {
    draft.messages.push({ role: 'model', content: [{ text: `you said ${input}` }] });
  });
};

export function echoAgent(store?: SessionStore) {
  return defineTalker(echo, store === undefined ? {} : { store });
}

export function say(text: string): AgentInput {
  return { message: { role: 'user', content: [{ text }] } };
}

interface BidiAgent {
  streamBidi(init?: AgentInit): {
    readonly stream: AsyncIterable<AgentStreamChunk>;
    readonly output: Promise<AgentOutput>;
    send(input: AgentInput): void;
    close(): void;
  };
}

/** Sends all inputs at once, and waits for the end. Rejects when the run does. */
export async function converse(agent: BidiAgent, inputs: readonly (string | AgentInput)[], init: AgentInit = {}) {
  const run = agent.streamBidi(init);
  for (const input of inputs) run.send(typeof input === 'string' ? say(input) : input);
  run.close();
  const chunks: AgentStreamChunk[] = [];
  for await (const chunk of run.stream) chunks.push(chunk);
  return { chunks, output: await run.output };
}

/** The text that was streamed. */
export function textOf(chunks: readonly AgentStreamChunk[]): string {
  return chunks.flatMap(({ modelChunk }) => modelChunk?.content.map(({ text }) => text ?? '') ?? []).join('');
}

/** Texts of a conversation, in order. */
export function textsOf(messages: readonly { content: readonly { text?: string }[] }[] | undefined): string[] {
  return (messages ?? []).map(({ content }) => content.map(({ text }) => text ?? '').join(''));
}
