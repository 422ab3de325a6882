import { InvalidValueError } from '../errors.js';
import type { Prompt } from './backend.js';

/**
 * The text of a prompt, for a backend that takes nothing else. Throws `INVALID_VALUE` for a part that is not text, so that
 * no image is dropped in silence.
 */
export function promptText(prompt: Prompt): string {
  if (typeof prompt === 'string') return prompt;
  const issues = prompt.flatMap((part, index) =>
    part.text === undefined
      ? [
          {
            path: `prompt.${index}`,
            expected: 'a text, because this backend takes nothing else',
            received: kindOf(part),
          },
        ]
      : [],
  );
  if (issues.length > 0) throw new InvalidValueError('input', issues);
  return prompt.map(({ text }) => text).join('');
}

function kindOf(part: object): string {
  return Object.keys(part)[0] ?? 'nothing';
}
