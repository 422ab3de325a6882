/**
 * A model for those without an API key: a handful of rules, no intelligence, and it says so. What it answers it takes from
 * the messages it is handed and from nowhere else, so it shows whether a conversation really is remembered.
 */
import { setImmediate as nextTick } from 'node:timers/promises';
import type { Genkit, MessageData } from 'genkit';

const introduction =
  'I am an offline demo model: a few rules that read our conversation, no AI. ' +
  'Set GEMINI_API_KEY and start again to talk to Gemini.';

const abilities =
  'Tell me something ("my name is Ada") and ask for it later ("what is my name?"); ask "what did I say first?", ' +
  '"what did you say?", "how many turns?" or "summarise"; "say …"; "what is 6 * 7?".';

/** Registers the model `demo/offline`. */
export function defineDemoModel(ai: Genkit) {
  return ai.defineModel(
    {
      apiVersion: 'v2',
      name: 'demo/offline',
      label: 'Offline demo model',
      supports: { multiturn: true, systemRole: true, tools: false, media: false, output: ['text'] },
    },
    async ({ messages }, { sendChunk, abortSignal }) => {
      const text = answer(messages);
      for (const word of text.match(/\S+\s*/g) ?? []) {
        abortSignal.throwIfAborted();
        sendChunk({ content: [{ text: word }] });
        // Lets the chunk out, and an abort in.
        await nextTick();
      }
      abortSignal.throwIfAborted();
      return {
        message: { role: 'model', content: [{ text }] },
        finishReason: 'stop',
        usage: { inputCharacters: messages.map(textOf).join('').length, outputCharacters: text.length },
      };
    },
  );
}

/** What the rules look at. */
interface Conversation {
  /** All that the user said, oldest first, the question included. */
  readonly said: readonly string[];
  /** The same without the question. */
  readonly earlier: readonly string[];
  /** What the model said before. */
  readonly replies: readonly string[];
}

/** The answer to the newest user message, after a word about itself in the first turn. */
function answer(messages: readonly MessageData[]): string {
  const spokenBy = (role: MessageData['role']) => messages.filter((message) => message.role === role).map(textOf);
  const said = spokenBy('user');
  const question = said.at(-1)?.trim() ?? '';
  const conversation = { said, earlier: said.slice(0, -1), replies: spokenBy('model') };
  const reply = applyRules(question, conversation);
  const isFirstTurn = conversation.replies.length === 0;
  return isFirstTurn && !reply.includes(introduction) ? `${introduction} ${reply}` : reply;
}

function textOf(message: MessageData): string {
  return message.content.map((part) => part.text ?? '').join('');
}

interface Rule {
  readonly when: RegExp;
  reply(groups: Readonly<Record<string, string>>, conversation: Conversation): string;
}

/** In order: the first that fits answers. */
const rules: readonly Rule[] = [
  {
    when: /^(help|\?)$|\b(who|what) are you\b|what can you do/i,
    reply: () => `${introduction} ${abilities}`,
  },
  {
    when: /\bwhat did i (just )?(say|tell you|ask)\b.*\b(?<place>first|second|third)\b/i,
    reply: ({ place }, { earlier }) => quote(earlier, ['first', 'second', 'third'].indexOf(place?.toLowerCase() ?? '')),
  },
  {
    when: /\bwhat did i (just )?(say|tell you|ask)\b|\bmy last (message|question)\b/i,
    reply: (_, { earlier }) => quote(earlier, earlier.length - 1),
  },
  {
    when: /\bwhat did you (just )?(say|answer)\b/i,
    reply: (_, { replies }) => (replies.length > 0 ? `I said: "${replies.at(-1)}"` : 'I have said nothing yet.'),
  },
  {
    when: /\bhow many (turns|messages|questions|times)\b/i,
    reply: (_, { earlier }) =>
      `This is turn ${earlier.length + 1}; ${count(earlier.length, 'message')} of yours came before it.`,
  },
  {
    when: /\bsummar(y|i[sz]e)\b|\b(list|repeat) (everything|all|what)\b|\bwhat (have|did) we (talk|discuss)/i,
    reply: (_, { earlier }) => summary(earlier),
  },
  {
    when: /^(who am i|do you know me)\b/i,
    reply: (_, { said }) => recall('name', said),
  },
  {
    when: /\b(what|who|where)(['’]s| is| are| was) my (?<subject>[\p{L}\d' -]+?)\s*\?*$/iu,
    reply: ({ subject = '' }, { said }) => recall(subject, said),
  },
  {
    when: /^(?:what(?:['’]s| is)|calculate|how much is)?\s*(?<left>-?\d+(?:\.\d+)?)\s*(?<operator>[-+*/×÷])\s*(?<right>-?\d+(?:\.\d+)?)\s*[?=]*$/i,
    reply: ({ left = '', operator = '', right = '' }) => calculate(Number(left), operator, Number(right)),
  },
  {
    when: /^(say|repeat)( after me)?[: ]+(?<words>.+)$/is,
    reply: ({ words = '' }) => words,
  },
  {
    when: /^(hello|hi|hey|good (morning|evening))\b(?!.*\bmy\b)/i,
    reply: (_, { said }) => `Hello${nameIn(said)}! ${abilities}`,
  },
  {
    when: /^(bye|goodbye|see you)\b/i,
    reply: (_, { said }) => `Goodbye${nameIn(said)}. We had ${count(said.length, 'turn')}.`,
  },
];

function applyRules(question: string, conversation: Conversation): string {
  if (question === '') return 'I read text only, and there was none.';
  for (const { when, reply } of rules) {
    const match = when.exec(question);
    if (match) return reply(match.groups ?? {}, conversation);
  }
  const told = [...factsIn(question)];
  if (told.length > 0)
    return `I will find it in our conversation: ${told.map(([what, is]) => `your ${what} is ${is}`).join(', ')}.`;
  return `I have no rule for "${question}". ${abilities}`;
}

function recall(subject: string, said: readonly string[]): string {
  const wanted = subject.toLowerCase();
  const fact = lastFact(wanted, said);
  return fact
    ? `Your ${wanted} is ${fact.is}; you told me in message ${fact.message}.`
    : `You have not told me your ${wanted}.`;
}

function nameIn(said: readonly string[]): string {
  const name = lastFact('name', said);
  return name ? `, ${name.is}` : '';
}

/** What was told last under the subject, and in which message. */
function lastFact(subject: string, said: readonly string[]): { is: string; message: number } | undefined {
  const told = said.map((text, index) => ({ is: factsIn(text).get(subject) ?? '', message: index + 1 }));
  return told.filter(({ is }) => is !== '').at(-1);
}

/** "my cat is Tom", "I am called Ada", "call me Ada", "I'm Ada": what is told, by subject. */
function factsIn(text: string): Map<string, string> {
  const facts = new Map<string, string>();
  const introductions = /\b[Ii](?: am|['’]m) (?<name>\p{Lu}[\p{L}'-]*)(?= and\b|[.,;!?\n]|\s*$)/gu;
  for (const { groups } of text.matchAll(introductions)) facts.set('name', groups?.name ?? '');
  const statements =
    /(?:\bmy (?<subject>[\p{L}\d' -]+?) (?:is|are|was)|\b(?:i am|i'm) called|\bcall me) (?<fact>[^.,;!?\n]+?)(?= and my\b|[.,;!?\n]|$)/giu;
  for (const { groups } of text.matchAll(statements)) {
    facts.set(groups?.subject?.toLowerCase() ?? 'name', groups?.fact?.trim() ?? '');
  }
  return facts;
}

function quote(earlier: readonly string[], index: number): string {
  const text = earlier[index];
  return text === undefined ? 'You had not said that much before.' : `You said: "${text}"`;
}

function summary(earlier: readonly string[]): string {
  if (earlier.length === 0) return 'There is nothing before this message.';
  return `You said ${count(earlier.length, 'thing')}: ${earlier.map((text, index) => `(${index + 1}) ${text}`).join(' ')}`;
}

function count(amount: number, thing: string): string {
  return `${amount} ${thing}${amount === 1 ? '' : 's'}`;
}

function calculate(left: number, operator: string, right: number): string {
  const results: Record<string, number> = {
    '+': left + right,
    '-': left - right,
    '*': left * right,
    '/': left / right,
  };
  const result = results[{ '×': '*', '÷': '/' }[operator] ?? operator];
  return `${left} ${operator} ${right} = ${result}`;
}
