/** The loop between a terminal and a conversation. */
import { obey } from './commands.js';
import type { Conversation } from './conversation.js';
import { reasonOf } from './reason.js';
import type { Terminal } from './terminal.js';

/** Ctrl-C twice within this time leaves, whatever else is waiting to be asked. */
const doublePressMs = 1_000;

/** One line, one turn, in order, until the input ends or the user leaves. */
export async function talk(terminal: Terminal, conversation: Conversation): Promise<void> {
  let pressedAt = Number.NEGATIVE_INFINITY;
  terminal.onInterrupt(() => {
    const isSecond = performance.now() - pressedAt < doublePressMs;
    pressedAt = performance.now();
    const hasInterrupted = conversation.interrupt();
    if (hasInterrupted && !isSecond) return;
    terminal.close();
    conversation.abort();
  });
  for await (const line of terminal.lines()) {
    if (line.trim() === '') continue;
    try {
      if (line.startsWith('/')) await obey(line, terminal, conversation);
      else await answer(line, terminal, conversation);
    } catch (error) {
      await terminal.note(`! ${reasonOf(error)}`);
    }
  }
}

async function answer(question: string, terminal: Terminal, conversation: Conversation): Promise<void> {
  try {
    for await (const text of conversation.ask(question)) await terminal.write(text);
  } finally {
    await terminal.write('\n');
  }
  if (conversation.wasInterrupted) await terminal.note('(interrupted)');
}
