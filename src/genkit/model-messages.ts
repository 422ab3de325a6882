/** What Genkit's models are told and say, where a backend and a provider do it alike. */
import type { MessageData, Part } from 'genkit';
import type { Prompt } from '../backends/backend.js';

/** A prompt as the user's message, sharing nothing with the caller's. */
export function userMessage(prompt: Prompt): MessageData {
  return {
    role: 'user',
    content: typeof prompt === 'string' ? [{ text: prompt }] : (structuredClone(prompt) as Part[]),
  };
}

/** What the model is told before everything else: one message, or none. */
export function systemMessages(system: string | undefined): MessageData[] {
  return system === undefined ? [] : [{ role: 'system', content: [{ text: system }] }];
}

/** The text of all parts. */
export function textOf(content: readonly { readonly text?: string | undefined }[]): string {
  return content.map(({ text }) => text ?? '').join('');
}
