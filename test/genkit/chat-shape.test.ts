/** Which agents are a chat, and in what words. */
import { MessageSchema } from 'genkit';
import { AgentStreamChunkSchema, genkit, z } from 'genkit/beta';
import { describe, expect, test } from 'vitest';
import { chatShape } from '../../src/genkit/chat/shape.js';
import { defineAgent, InvalidValueError } from '../../src/index.js';

const anyState = z.record(z.unknown());
const ModelChunk = AgentStreamChunkSchema.shape.modelChunk.unwrap();
const text = z.string();
const hello = { role: 'user' as const, content: [{ text: 'hel' }, { text: 'lo' }] };

function shapeOf(inputSchema: z.ZodTypeAny | undefined, streamSchema: z.ZodTypeAny | undefined) {
  const schemas = { ...(inputSchema && { inputSchema }), ...(streamSchema && { streamSchema }) };
  const shape = chatShape({ name: 'any', ...schemas }, anyState);
  return shape instanceof InvalidValueError ? undefined : shape;
}

describe('inputs', () => {
  test.each([
    ['text', text],
    ['text that is changed later', text.trim().transform((value) => value.length)],
    ['text with a default', text.default('')],
    ['text or nothing', text.nullish()],
    ['branded text', text.brand('Question')],
    ['text that is checked', text.refine((value) => value !== 'no')],
    ['text in a pipeline', text.pipe(z.coerce.number())],
    ['text or a number', z.union([z.number(), text])],
    ['lazy text', z.lazy(() => text)],
  ])('%s is text', (_, schema) => {
    expect(shapeOf(schema, text)?.toSent(hello)).toBe('hello');
  });

  test.each([
    ['Genkit’s messages', MessageSchema],
    ['messages with more in them', MessageSchema.extend({ at: z.number().optional() })],
    ['text or messages', z.union([text, MessageSchema])],
    ['messages that are checked once more', MessageSchema.refine(async () => true)],
    [
      'strict messages of one’s own',
      z.object({ role: text, content: z.array(z.object({ text }).passthrough()) }).strict(),
    ],
  ])('%s are messages', (_, schema) => {
    expect(shapeOf(schema, text)?.toSent(hello)).toBe(hello);
  });

  test.each([
    ['nothing said', undefined],
    ['anything', z.unknown()],
    ['a number', z.number()],
    ['an object', z.object({ text })],
    ['messages that need more', MessageSchema.extend({ at: z.number() })],
    ['what is made of anything before', z.preprocess(String, text)],
    [
      'messages that can only be checked later',
      z.object({ role: text.refine(async () => true), content: z.array(z.any()) }),
    ],
  ])('%s is no chat', (_, schema) => {
    expect(shapeOf(schema, text)).toBeUndefined();
  });

  test('what has no text is refused with its place', () => {
    const message = { role: 'user' as const, content: [{ text: 'see' }, { media: { url: 'x:' } }] };
    expect(() => shapeOf(text, text)?.toSent(message)).toThrow(/"message.content.1" expected a text part, got media/);
  });
});

describe('chunks', () => {
  test.each([
    ['text', text, 'a', { role: 'model', content: [{ text: 'a' }] }],
    ['empty text', text, '', { role: 'model', content: [{ text: '' }] }],
    ['model chunks', ModelChunk, { content: [{ text: 'a' }], index: 1 }, { content: [{ text: 'a' }], index: 1 }],
    ['either', z.union([text, ModelChunk]), { content: [] }, { content: [] }],
  ])('%s', (_, schema, chunk, expected) => {
    expect(shapeOf(text, schema)?.toChunk(chunk)).toEqual(expected);
  });

  test.each([
    ['nothing said', undefined],
    ['a number', z.number()],
    ['text or a number', z.union([text, z.number()])],
    ['what becomes something else', text.transform(Number)],
  ])('%s is no chat', (_, schema) => {
    expect(shapeOf(text, schema)).toBeUndefined();
  });
});

describe('types', () => {
  test('toInput and toChunk speak the agent’s own', () => {
    const agent = defineAgent(
      genkit({}),
      {
        name: 'typed',
        inputSchema: z.object({ question: text, tries: z.number().default(1) }),
        streamSchema: z.object({ token: text }),
        stateSchema: z.object({ messages: z.array(MessageSchema).default([]), mood: text.default('') }),
        toInput: ({ content: [first] }) => ({ question: first?.text ?? '' }),
        toChunk: ({ token }) => ({ content: [{ text: token }] }),
      },
      async ({ turns }) => {
        await turns(({ question, tries }) => void [question.length, tries.toFixed()]);
        return { output: null };
      },
    );
    const chat = agent.chatAgent.chat();
    const mood: string | undefined = chat.state?.mood;
    // @ts-expect-error: the conversation is chat.messages, not a part of the state
    expect([mood, chat.state?.messages]).toEqual([undefined, undefined]);
    const schemas = { name: 'wrong', inputSchema: z.object({ question: text }), streamSchema: text };
    // @ts-expect-error: the input needs a question
    defineAgent(genkit({}), { ...schemas, toInput: () => ({}) }, async () => ({ output: null }));
    // @ts-expect-error: a chunk is text
    defineAgent(genkit({}), { ...schemas, toChunk: ({ token }) => token }, async () => ({ output: null }));
  });
});
