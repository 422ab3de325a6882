/** How an agent's inputs, chunks and state look to a Genkit chat. */
import type { MessageData } from 'genkit';
import type { AgentStreamChunk, SessionState } from 'genkit/beta';
import type { z } from '../../../schemas/zod.js';
import type { AgentConfig, ChatMessage } from '../../agent/agent.js';
import { InvalidValueError } from '../../errors.js';

/** A piece of a model's answer on its way to the client. */
export type ModelChunk = NonNullable<AgentStreamChunk['modelChunk']>;

/** A state as Genkit has it: the conversation, and everything else. */
export type ExposedState = Pick<SessionState, 'messages' | 'custom'>;

/** How one agent talks in Genkit's words. */
export interface ChatShape {
  /** The input a message stands for. Throws `InvalidValueError` for a message this agent has no use for. */
  toSent(message: MessageData): unknown;
  /** What the client sees of a chunk; `undefined` for nothing. */
  toChunk(chunk: unknown): ModelChunk | undefined;
  /** What `custom` fits. */
  readonly customSchema: z.ZodTypeAny;
  /** A state's `messages`, where it keeps Genkit messages there, are the conversation; the rest of it is `custom`. */
  expose(state: unknown): ExposedState;
  /** The state a client sent back; `undefined` when it sent none. */
  restore(exposed: ExposedState): unknown;
}

/** The shape of an agent whose inputs and chunks are text, Genkit's own or translated; else what it lacks for that. */
export function chatShape(config: AgentConfig, stateSchema: z.ZodTypeAny): ChatShape | InvalidValueError {
  const input = config.toInput === undefined ? inputKind(config.inputSchema) : 'translated';
  const chunk = config.toChunk === undefined ? chunkKind(config.streamSchema) : 'translated';
  if (input === undefined || chunk === undefined) {
    const [path, schema] = input === undefined ? ['toInput', 'inputSchema'] : ['toChunk', 'streamSchema'];
    const expected = `a function, because ${schema} is neither text nor what Genkit's models speak`;
    return new InvalidValueError('option', [{ path, expected, received: 'undefined' }]);
  }
  return {
    toSent: (message) => {
      if (input === 'translated') return config.toInput?.(message as ChatMessage);
      return input === 'text' ? textOf(message as ChatMessage) : message;
    },
    toChunk: (value) => (config.toChunk === undefined ? asModelChunk(value) : (config.toChunk(value) as ModelChunk)),
    ...stateShape(stateSchema),
  };
}

type Kind = 'text' | 'genkit';

const probe = { role: 'user', content: [{ text: 'text' }] };

function inputKind(schema: z.ZodTypeAny | undefined): Kind | undefined {
  const bare = schema === undefined ? undefined : unwrapped(schema, 'input');
  if (bare?._def.typeName === 'ZodUnion') {
    const kinds: (Kind | undefined)[] = bare._def.options.map(inputKind);
    return kinds.find((kind) => kind === 'genkit') ?? kinds.find((kind) => kind === 'text');
  }
  if (bare?._def.typeName === 'ZodString') return 'text';
  return isObjectWith(bare, ['role', 'content']) ? 'genkit' : undefined;
}

function chunkKind(schema: z.ZodTypeAny | undefined): Kind | undefined {
  const bare = schema === undefined ? undefined : unwrapped(schema, 'output');
  if (bare?._def.typeName === 'ZodUnion') {
    const kinds: (Kind | undefined)[] = bare._def.options.map(chunkKind);
    return kinds.includes(undefined) ? undefined : kinds[0];
  }
  if (bare?._def.typeName === 'ZodString') return 'text';
  return isObjectWith(bare, ['content']) ? 'genkit' : undefined;
}

/** Does the schema name these members, and take what Genkit would put there? */
function isObjectWith(schema: z.ZodTypeAny | undefined, members: readonly string[]): boolean {
  if (schema?._def.typeName !== 'ZodObject') return false;
  const shape: Record<string, z.ZodTypeAny> = schema._def.shape();
  if (!members.every((member) => Object.hasOwn(shape, member))) return false;
  try {
    return schema.safeParse(probe).success;
  } catch {
    // A schema that can only be asked in another way (an asynchronous refinement) is none of Genkit's.
    return false;
  }
}

/** The schema below everything that does not change what goes in, or what comes out. */
function unwrapped(schema: z.ZodTypeAny, side: 'input' | 'output'): z.ZodTypeAny {
  const { _def: def } = schema;
  switch (def.typeName) {
    case 'ZodOptional':
    case 'ZodNullable':
    case 'ZodDefault':
    case 'ZodReadonly':
    case 'ZodCatch':
      return unwrapped(def.innerType, side);
    case 'ZodBranded':
      return unwrapped(def.type, side);
    case 'ZodLazy':
      return unwrapped(def.getter(), side);
    case 'ZodPipeline':
      return unwrapped(side === 'input' ? def.in : def.out, side);
    case 'ZodEffects': {
      const changes = side === 'input' ? 'preprocess' : 'transform';
      return def.effect.type === changes ? schema : unwrapped(def.schema, side);
    }
    default:
      return schema;
  }
}

function textOf({ content }: ChatMessage): string {
  return content.map((part, index) => part.text ?? refuse(part, index)).join('');
}

function refuse(part: object, index: number): never {
  const received = Object.keys(part).join(', ') || 'nothing';
  throw new InvalidValueError('input', [{ path: `message.content.${index}`, expected: 'a text part', received }]);
}

function asModelChunk(chunk: unknown): ModelChunk | undefined {
  if (typeof chunk === 'string') return { role: 'model', content: [{ text: chunk }] };
  return typeof chunk === 'object' && chunk !== null && 'content' in chunk ? (chunk as ModelChunk) : undefined;
}

function stateShape(schema: z.ZodTypeAny): Pick<ChatShape, 'customSchema' | 'expose' | 'restore'> {
  const bare = unwrapped(schema, 'output');
  const messages = bare._def.typeName === 'ZodObject' ? bare._def.shape().messages : undefined;
  const list: z.ZodTypeAny | undefined = messages === undefined ? undefined : unwrapped(messages, 'output');
  const item = list?._def.typeName === 'ZodArray' ? unwrapped(list._def.type, 'output') : undefined;
  if (!isObjectWith(item, ['role', 'content'])) {
    return { customSchema: schema, expose: (custom) => ({ custom }), restore: ({ custom }) => custom };
  }
  return {
    customSchema: (bare as z.AnyZodObject).omit({ messages: true }),
    expose(state) {
      const { messages: list, ...custom } = state as { messages?: MessageData[] };
      return list === undefined ? { custom } : { custom, messages: list };
    },
    restore({ custom, messages: list }) {
      if (list === undefined) return custom;
      return custom === undefined || isRecord(custom) ? { ...custom, messages: list } : custom;
    },
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
