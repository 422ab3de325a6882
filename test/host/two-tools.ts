/** A Genkit model that calls one tool, then another, and then says what both have answered. */
import { genkit, type MessageData, z } from 'genkit';
import { genkitBackend } from '../../src/genkit/genkit-backend.js';

/** @param run what both tools do, given their names */
export function twoToolBackend(run: (name: string) => Promise<string>) {
  const ai = genkit({});
  const asked: MessageData[][] = [];
  const model = ai.defineModel(
    { name: 'two-tools', supports: { tools: true, multiturn: true } },
    async ({ messages }) => {
      asked.push(structuredClone(messages));
      const turn = messages.slice(messages.map(({ role }) => role).lastIndexOf('user'));
      const answers = turn.flatMap(({ content }) => content.flatMap(({ toolResponse }) => toolResponse?.output ?? []));
      const wantsTools = turn[0]?.content[0]?.text === 'use your tools';
      const next = wantsTools ? ['first', 'second'][answers.length] : undefined;
      const content =
        next === undefined
          ? [{ text: `${messages.length} messages: ${answers.join(', ')}` }]
          : [{ toolRequest: { name: next, ref: `call of ${next}`, input: {} } }];
      return { message: { role: 'model' as const, content }, finishReason: 'stop' as const };
    },
  );
  const tools = ['first', 'second'].map((name) =>
    ai.defineTool({ name, description: name, inputSchema: z.object({}), outputSchema: z.string() }, () => run(name)),
  );
  return Object.assign(genkitBackend(ai, { model, tools }), { asked });
}
