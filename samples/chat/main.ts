/** The terminal chat: `npm start`, or `npm start -- --session ID` to go on where you were. */
import { join } from 'node:path';
import { SqliteSessionStore } from 'genkitx-agent/stores/sqlite';
import { defineChat } from './agent.js';
import { Conversation } from './conversation.js';
import { chooseModel } from './model.js';
import { type Options, readOptions, usage } from './options.js';
import { reasonOf } from './reason.js';
import { talk } from './talk.js';
import { Terminal } from './terminal.js';

async function main(options: Options): Promise<void> {
  const { ai, name } = await chooseModel(process.env);
  // Genkit ends the process on these signals. Here they are the conversation's business.
  for (const signal of ['SIGINT', 'SIGTERM']) {
    for (const listener of process.listeners(signal as NodeJS.Signals)) process.off(signal, listener);
  }
  // What people say to a model is nobody else's business.
  process.umask(0o077);
  const store = new SqliteSessionStore({ path: join(options.data, 'chat.db') });
  const terminal = new Terminal(process.stdin, process.stdout);
  const conversation = new Conversation(defineChat(ai, store), {
    sessionId: options.session,
    onWaiting: () =>
      void terminal.note(
        'The session is not free: another program has it open, or could not give it back. Waiting for it.',
      ),
  });
  process.once('SIGTERM', () => {
    conversation.interrupt();
    terminal.close();
  });

  const saved = await conversation.saved().catch((error: unknown) => {
    throw new Error(`The sessions in ${options.data} cannot be read: ${reasonOf(error)}`);
  });
  const state = saved === undefined ? 'new' : `${saved.state.messages.length} messages so far`;
  await terminal.note(`Answered by ${name}.\nSession ${conversation.sessionId} (${state}). /help lists the commands.`);
  try {
    await talk(terminal, conversation);
    const sessions = await conversation.visited();
    if (sessions.length > 0) await terminal.note(['To come back:', ...sessions.map(options.comeBack)].join('\n  '));
  } finally {
    terminal.close();
    await conversation.close();
    await store.close();
  }
}

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options.help) console.log(usage(process.env));
  else await main(options);
} catch (error) {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exitCode = 1;
}
// Under the Dev UI, Genkit's own server would keep the process going.
process.stdout.write('', () => process.exit());
