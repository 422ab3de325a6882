/** What begins with a slash. */
import type { MessageData } from 'genkit';
import type { Conversation } from './conversation.js';
import type { Terminal } from './terminal.js';

interface Command {
  readonly says: string;
  run(terminal: Terminal, conversation: Conversation): void | Promise<void>;
}

const commands: Readonly<Record<string, Command>> = {
  '/history': {
    says: 'what was said in this session',
    async run(terminal, conversation) {
      const { messages = [] } = (await conversation.saved())?.state ?? {};
      if (messages.length === 0) await terminal.note('Nothing yet.');
      for (const message of messages) await terminal.write(`${spoken(message)}\n`);
    },
  },
  '/artifacts': {
    says: 'the code that was written in it',
    async run(terminal, conversation) {
      const { artifacts = [] } = (await conversation.saved()) ?? {};
      if (artifacts.length === 0) await terminal.note('None yet.');
      for (const { name, parts } of artifacts) await terminal.write(`--- ${name}\n${textOf(parts)}\n`);
    },
  },
  '/fork': {
    says: 'go on in a copy of this session',
    async run(terminal, conversation) {
      const from = conversation.sessionId;
      if ((await conversation.saved()) === undefined) return terminal.note('Nothing to copy yet.');
      await conversation.fork();
      await terminal.note(`Session ${conversation.sessionId}, a copy of ${from}`);
    },
  },
  '/new': {
    says: 'begin a new session',
    async run(terminal, conversation) {
      await conversation.begin();
      await terminal.note(`Session ${conversation.sessionId}`);
    },
  },
  '/help': {
    says: 'this list',
    async run(terminal) {
      for (const [name, { says }] of Object.entries(commands)) await terminal.note(`${name.padEnd(11)} ${says}`);
      await terminal.note('Ctrl-C interrupts an answer or clears the line; else it leaves, like Ctrl-D.');
    },
  },
  '/quit': {
    says: 'leave; the session is kept',
    run: (terminal) => terminal.close(),
  },
};

/** Does what a line like `/history` says. */
export async function obey(line: string, terminal: Terminal, conversation: Conversation): Promise<void> {
  const [name = ''] = line.trim().split(/\s/);
  const command = commands[name];
  if (command === undefined) await terminal.note(`There is no ${name}; /help lists what there is.`);
  else await command.run(terminal, conversation);
}

function spoken({ role, content, metadata }: MessageData): string {
  return `${role === 'user' ? 'you' : role}: ${textOf(content)}${metadata?.interrupted === true ? ' (interrupted)' : ''}`;
}

function textOf(parts: readonly { readonly text?: string | undefined }[]): string {
  return parts.map(({ text = '' }) => text).join('');
}
