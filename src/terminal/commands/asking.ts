/** Commands that give agents something to do, and get the answers. */
import { AgentFlowError } from '../../errors.js';
import type { Completion, HostEvent } from '../../host/host.js';
import { type Desk, noLongerWaiting } from '../desk.js';
import { count, dollars, duration } from '../figures.js';
import { eventOf, firstWord, quotedName } from '../line.js';
import { MisuseError, told } from '../misuse.js';
import { labelOf, type Tell } from '../tells.js';
import { oneLine } from '../text.js';
import { agentAndText, type Command } from './command.js';

/** Asks, and shows the answer as it comes. Rejects with the turn's error. */
export async function ask(desk: Desk, agent: string, text: string): Promise<void> {
  const { host, screen, watcher } = desk;
  const leaving = new AbortController();
  let hasSpoken = false;
  const work = () =>
    host.ask(agent, text, {
      // One that is halted answers when somebody resumes it, and nobody could while this line waits.
      onHalt: 'fail',
      signal: leaving.signal,
      onEvent(event) {
        if (event.type !== 'text') return;
        hasSpoken = true;
        // Who watches sees it already, among all that goes on beside it.
        if (!watcher.isWatching(agent)) void screen.stream(event.text);
      },
    });
  try {
    const response = await desk.interruptible(() => takeBack(desk, agent, leaving), work);
    if (!hasSpoken) await screen.stream(response.text);
    await screen.endStream();
    const { durationMs, costUsd = 0, usage } = response;
    const tokens = (usage?.inputTokens ?? 0) + (usage?.outputTokens ?? 0);
    const facts = [duration(durationMs), tokens > 0 ? count(tokens, 'token') : '', costUsd > 0 ? dollars(costUsd) : ''];
    if (screen.isInteractive) await screen.print(`(${facts.filter((fact) => fact !== '').join(', ')})`, 'quiet');
  } finally {
    await screen.endStream();
  }
}

/** Takes a prompt back that waits, or cuts its turn, if it is being answered. */
function takeBack(desk: Desk, agent: string, leaving: AbortController): void {
  let isTakenBack = false;
  const forget = desk.host.observe((event: HostEvent) => {
    isTakenBack ||= event.type === 'turn.cancelled' && event.agent === agent;
  });
  leaving.abort(new AgentFlowError('TURN_INTERRUPTED', 'interrupted'));
  forget();
  if (!isTakenBack) void desk.host.interrupt(agent);
}

async function tell(desk: Desk, rest: string, usage: string): Promise<void> {
  const { agent, text } = agentAndText(rest, usage);
  const { host, screen, tells } = desk;
  let early: Completion | undefined;
  const ref = await host.tell(agent, text, {
    onCompletion(completion) {
      early = completion;
      const ended = tells.complete(completion);
      if (ended !== undefined) void announce(desk, ended);
    },
  });
  const told = tells.add(agent, ref);
  await screen.print(`${labelOf(told)} told to ${oneLine(agent)}, ref ${ref}`);
  // Where a store is slow, the answer is there before the prompt is taken.
  if (early === undefined || told.state !== 'waiting') return;
  tells.complete(early);
  await announce(desk, told);
}

/** Whoever sits at a terminal wants to know; in a pipe nobody could tell when this comes. */
async function announce({ screen }: Desk, tell: Tell): Promise<void> {
  if (!screen.isInteractive || tell.state === 'shown') return;
  const what = tell.error === undefined ? 'has answered' : `has failed: ${tell.error.code}`;
  await screen.print(`${labelOf(tell)} ${oneLine(tell.agent)} ${what}; "await ${tell.number}" shows it`, 'quiet');
}

/** Shows what became of a tell. Answers whether there was anything to show. */
async function showOutcome(desk: Desk, tell: Tell): Promise<boolean> {
  const outcome = await desk.host.poll(tell.agent, tell.ref);
  if (outcome.status === 'pending') return false;
  tell.state = 'shown';
  if (outcome.status === 'failed') throw outcome.error;
  await showAnswer(desk, tell, outcome.response.text);
  return true;
}

async function showAnswer({ screen }: Desk, tell: Tell, text: string): Promise<void> {
  await screen.print([`${labelOf(tell)} ${oneLine(tell.agent)}:`, text]);
}

async function awaitOutcome(desk: Desk, tell: Tell): Promise<void> {
  const leaving = new AbortController();
  const giveUp = () => leaving.abort(noLongerWaiting());
  const stopListening = desk.host.observe((event) => {
    if (event.type === 'halted' && event.agent === tell.agent)
      setImmediate(() => void giveUpIfHalted().catch(() => {}));
  });
  /** What waits for a halted agent waits until somebody resumes it, and nobody could while this line waits. */
  const giveUpIfHalted = async () => {
    const { halted, currentRequest } = await desk.host.snapshot(tell.agent);
    if (!halted || currentRequest?.ref === tell.ref) return;
    if ((await desk.host.poll(tell.agent, tell.ref)).status !== 'pending') return;
    leaving.abort(new AgentFlowError('AGENT_HALTED', `The agent "${tell.agent}" is halted`));
  };
  try {
    await giveUpIfHalted();
    const work = () => desk.host.await(tell.agent, tell.ref, { signal: leaving.signal });
    const { text } = await desk.interruptible(giveUp, work);
    tell.state = 'shown';
    await showAnswer(desk, tell, text);
  } catch (error) {
    if (!leaving.signal.aborted) tell.state = 'shown';
    throw error;
  } finally {
    stopListening();
  }
}

/** Every outcome that nobody has seen, one after another; a failure does not stop the others. */
async function awaitAll(desk: Desk): Promise<void> {
  const { unseen } = desk.tells;
  if (unseen.length === 0) await desk.screen.print('Nothing is waiting to be shown.');
  for (const tell of unseen) {
    try {
      await awaitOutcome(desk, tell);
    } catch (error) {
      await desk.complain(new MisuseError(`${labelOf(tell)} ${oneLine(tell.agent)}: ${told(error)}`));
    }
  }
}

/** What gives agents something to do. */
export const asking: Readonly<Record<string, Command>> = {
  ask: {
    usage: 'ask NAME TEXT',
    says: 'prompt an agent and see its answer as it comes',
    run(desk, rest) {
      const { agent, text } = agentAndText(rest, this.usage);
      return ask(desk, agent, text);
    },
  },
  tell: {
    usage: 'tell NAME TEXT',
    says: 'prompt an agent without waiting for the answer',
    run(desk, rest) {
      return tell(desk, rest, this.usage);
    },
  },
  poll: {
    usage: 'poll NUMBER',
    says: 'what became of a tell',
    more: '"poll NAME REF" looks for what was told elsewhere, or in an earlier process.',
    async run(desk, rest) {
      const asked = desk.tells.named(rest, this.usage);
      if (!(await showOutcome(desk, asked)))
        await desk.screen.print(`${labelOf(asked)} ${oneLine(asked.agent)}: not answered yet`);
    },
  },
  await: {
    usage: 'await [NUMBER]',
    says: 'wait for the answer to a tell; to all of them',
    more: '"await NAME REF" waits for what was told elsewhere, or in an earlier process.',
    run(desk, rest) {
      if (firstWord(rest) === undefined) return awaitAll(desk);
      return awaitOutcome(desk, desk.tells.named(rest, this.usage));
    },
  },
  cancel: {
    usage: 'cancel NUMBER',
    says: 'take a tell back that still waits',
    async run(desk, rest) {
      const tell = desk.tells.named(rest, this.usage);
      await desk.host.cancel(tell.agent, tell.ref);
      tell.state = 'shown';
      await desk.screen.print(`${labelOf(tell)} is taken back`);
    },
  },
  notify: {
    usage: 'notify NAME EVENT',
    says: 'push an event into an agent, as JSON or as text',
    async run(desk, rest) {
      const { agent, text } = agentAndText(rest, this.usage);
      const became = await desk.host.notifyAck(agent, eventOf(text));
      const how = became === 'handled' ? 'has heard it' : 'hears it at the end of its turn';
      await desk.screen.print(`${oneLine(agent)} ${how}`);
    },
  },
  use: {
    usage: 'use [NAME]',
    says: 'choose an agent: plain text is then asked of it',
    async run(desk, rest) {
      const agent = firstWord(rest)?.word;
      // Rejects for one that is not there.
      if (agent !== undefined) await desk.host.status(agent);
      desk.chosen = agent;
      const what = agent === undefined ? 'Nobody is chosen' : `Plain text asks ${quotedName(oneLine(agent))}`;
      await desk.screen.print(`${what}.`);
    },
  },
};
