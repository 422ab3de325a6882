/** The chat agent: text in, text out, and the whole conversation as its state. */
import { type Genkit, type MessageData, MessageSchema, z } from 'genkit';
import { defineAgent, type SessionStore } from 'genkitx-agent';
import { codeBlocks } from './code-blocks.js';

export type Chat = ReturnType<typeof defineChat>;

/** Defines the agent `chat`. It answers with the default model of `ai`. */
export function defineChat(ai: Genkit, store: SessionStore) {
  return defineAgent(
    ai,
    {
      name: 'chat',
      description: 'Talks, remembers what was said, and keeps the code it writes as artifacts.',
      inputSchema: z.string().min(1),
      streamSchema: z.string(),
      outputSchema: z.string(),
      stateSchema: z.object({ messages: z.array(MessageSchema) }),
      initialState: { messages: [] },
      store,
      // After a crash the session is free again this soon.
      leaseTtlMs: 5_000,
    },
    async ({ session, responder, turns }) => {
      const remember = (message: MessageData) => session.updateState(({ messages }) => void messages.push(message));

      await turns(async (question, { signal }) => {
        await remember({ role: 'user', content: [{ text: question }] });
        let said = '';
        try {
          const { message, text } = await ai.generate({
            messages: session.state.messages,
            abortSignal: signal,
            onChunk: (chunk) => {
              said += chunk.text;
              void responder.send(chunk.text);
            },
          });
          await remember(message?.toJSON() ?? { role: 'model', content: [{ text }] });
          for (const artifact of codeBlocks(text, session.artifacts.length)) await session.saveArtifact(artifact);
        } catch (error) {
          if (!signal.aborted) throw error;
          // Cut short: keep what was said, marked, so that the conversation can go on from there.
          if (said !== '')
            await remember({ role: 'model', content: [{ text: said }], metadata: { interrupted: true } });
        }
      });
      return { output: `${session.state.messages.length} messages` };
    },
  );
}
