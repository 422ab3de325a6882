/** Who answers: Gemini when there is a key for it, else the demo model. */
import { type Genkit, genkit } from 'genkit';
import { defineDemoModel } from './demo-model.js';

export interface ChosenModel {
  readonly ai: Genkit;
  /** What the user is told about it. */
  readonly name: string;
}

/** Genkit, with its default model set. */
export async function chooseModel({ GEMINI_API_KEY }: NodeJS.ProcessEnv): Promise<ChosenModel> {
  if (!GEMINI_API_KEY) {
    const ai = genkit({ model: 'demo/offline' });
    defineDemoModel(ai);
    return { ai, name: 'demo/offline, a few rules and no AI; set GEMINI_API_KEY to talk to Gemini' };
  }
  // `@genkit-ai/googleai` is at its end. Its successor needs this one line: await import('@genkit-ai/google-genai').
  const { googleAI } = await import('@genkit-ai/googleai');
  // It prints the stack of every stream that fails, of an interrupted one too. The chat says itself what went wrong.
  console.error = () => {};
  const model = 'gemini-2.5-flash';
  return { ai: genkit({ plugins: [googleAI()], model: googleAI.model(model) }), name: model };
}
