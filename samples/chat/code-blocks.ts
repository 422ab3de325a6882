/** Code that a model writes into its answer, as files. */
import type { Artifact } from 'genkitx-agent';

const fence = /^```(?<language>[\w+#-]*)[^\n]*\n(?<code>.*?)^```/gms;

/** The fenced code blocks of a text, named `code_1.ts`, `code_2.py`, … after the `count` that are there already. */
export function codeBlocks(text: string, count = 0): Artifact[] {
  return [...text.matchAll(fence)].map(({ groups: { language = '', code = '' } = {} }, index) => ({
    name: `code_${count + index + 1}.${language || 'txt'}`,
    parts: [{ text: code }],
  }));
}
