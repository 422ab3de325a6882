import { genkit, type MessageData } from 'genkit';
import { describe, expect, it } from 'vitest';
import { defineDemoModel } from '../../samples/chat/demo-model.js';

const ai = genkit({});
const model = defineDemoModel(ai);

/** Says all of it, one turn after the other, and answers the last reply. */
async function talk(...said: string[]): Promise<string> {
  let messages: MessageData[] = [];
  let reply = '';
  for (const prompt of said) {
    const response = await ai.generate({ model, messages, prompt });
    messages = response.messages;
    reply = response.text;
  }
  return reply;
}

describe('the offline demo model', () => {
  it('says what it is in the first turn, and how to get a real one', async () => {
    const first = await talk('hello');
    expect(first).toMatch(/^I am an offline demo model: .* no AI\. Set GEMINI_API_KEY/);
    expect(first).toContain('Hello!');
    expect(await talk('hello', 'hello')).toMatch(/^Hello!/);
    const asked = await talk('hello', 'who are you?');
    expect(asked.match(/offline demo model/g)).toHaveLength(1);
    expect((await talk('what can you do')).match(/offline demo model/g)).toHaveLength(1);
  });

  it.each([
    [['my name is Ada', 'what is my name?'], 'Your name is Ada; you told me in message 1.'],
    [
      ['My name is Ada, and my favourite colour is blue.', 'hm', "what's my favourite colour"],
      'Your favourite colour is blue; you told me in message 1.',
    ],
    [['my name is Ada and my cat is Tom', 'who is my cat?'], 'Your cat is Tom; you told me in message 1.'],
    [['call me Ada', 'call me Grace', 'who am I?'], 'Your name is Grace; you told me in message 2.'],
    [['my name is Ada', 'hi'], 'Hello, Ada!'],
    [["Hi, I'm Ada!", 'what is my name?'], 'Your name is Ada; you told me in message 1.'],
    [['I am Ada and my name is Grace', 'who am I?'], 'Your name is Grace; you told me in message 1.'],
    [['I am here', 'who am I?'], 'You have not told me your name.'],
    [['x', 'what is my name?'], 'You have not told me your name.'],
    [['one', 'two', 'three', 'what did I say first?'], 'You said: "one"'],
    [['one', 'two', 'three', 'what did I say second?'], 'You said: "two"'],
    [['one', 'two', 'what did I say before?'], 'You said: "two"'],
    [['one', 'two', 'what did I just say?'], 'You said: "two"'],
    [['one', 'what did I say third?'], 'You had not said that much before.'],
    [['one', 'say blue bird', 'what did you say?'], 'I said: "blue bird"'],
    [['one', 'two', 'how many turns?'], 'This is turn 3; 2 messages of yours came before it.'],
    [['one', 'two', 'please summarise'], 'You said 2 things: (1) one (2) two'],
    [['one', 'what is 6 * 7?'], '6 * 7 = 42'],
    [['one', '1.5+2'], '1.5 + 2 = 3.5'],
    [['one', 'my dog is Rex'], 'I will find it in our conversation: your dog is Rex.'],
    [['one', 'why is the sky blue?'], 'I have no rule for "why is the sky blue?".'],
    [['call me Ada', 'bye'], 'Goodbye, Ada. We had 2 turns.'],
  ])('answers %j', async (said, expected) => {
    const reply = await talk(...said);
    expect(reply.slice(0, expected.length)).toBe(expected);
  });

  it('knows nothing but the messages it is handed', async () => {
    await talk('my name is Ada');
    const messages: MessageData[] = [{ role: 'model', content: [{ text: 'Hello.' }] }];
    const { text } = await ai.generate({ model, messages, prompt: 'what is my name?' });
    expect(text).toBe('You have not told me your name.');
  });

  it('streams word by word', async () => {
    const messages: MessageData[] = [{ role: 'model', content: [{ text: 'Hello.' }] }];
    const { stream, response } = ai.generateStream({ model, messages, prompt: 'say one  two three' });
    const chunks: string[] = [];
    for await (const chunk of stream) chunks.push(chunk.text);
    expect(chunks).toEqual(['one  ', 'two ', 'three']);
    expect(await response).toMatchObject({ text: 'one  two three', finishReason: 'stop' });
  });

  it('stops between two words when it is aborted', async () => {
    const abort = new AbortController();
    const prompt = `say ${'word '.repeat(1000)}`;
    const { stream, response } = ai.generateStream({ model, prompt, abortSignal: abort.signal });
    response.catch(() => undefined);
    let seen = 0;
    const read = async () => {
      for await (const _ of stream) {
        seen += 1;
        if (seen === 3) abort.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen).toBeLessThan(10);
    await expect(ai.generate({ model, prompt, abortSignal: abort.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  it('is registered under its name', async () => {
    const { text } = await ai.generate({ model: 'demo/offline', prompt: 'help' });
    expect(text).toContain('offline demo model');
  });
});
