/** The end of a session at the terminal: turns in flight are finished, or cut by whoever does not want to wait. */
import type { AgentHost } from '../host/host.js';
import type { Desk } from './desk.js';
import { labelOf, type Tell } from './tells.js';
import { oneLine } from './text.js';

/** How a session is left. */
export interface Leaving {
  /** Turns in flight are cut. */
  readonly isHasty: boolean;
  /** What was not answered is answered in the next process. */
  readonly isKept: boolean;
  /** Ends the process; for somebody who has asked three times. */
  readonly exit: () => void;
}

/** Closes the host. Ctrl-C cuts the turns in flight, again ends the process. Tells what became of the tells nobody looked at. */
export async function leave(desk: Desk, { isHasty, isKept, exit }: Leaving): Promise<void> {
  const { host, screen, tells } = desk;
  const closed = host.close();
  let isCut = false;
  const cut = () => {
    if (isCut) return exit();
    isCut = true;
    void cutTurns(host);
  };
  process.on('SIGINT', cut);
  try {
    if (isHasty) cut();
    else await noteWorking(desk);
    await closed;
  } finally {
    process.off('SIGINT', cut);
  }
  for (const tell of tells.unseen) await tellFate(desk, tell, isKept);
  screen.close();
}

/** Interrupts every turn in flight; nobody waits for what becomes of them. */
export async function cutTurns(host: AgentHost): Promise<void> {
  for (const agent of await host.list()) void host.interrupt(agent);
}

async function noteWorking({ host, screen }: Desk): Promise<void> {
  if (!screen.isInteractive) return;
  const states = await Promise.allSettled((await host.list()).map((agent) => host.status(agent)));
  const working = states.flatMap((one) =>
    one.status === 'fulfilled' && one.value.state === 'processing' ? [oneLine(one.value.name)] : [],
  );
  if (working.length > 0) await screen.print(`${working.join(', ')} at work; Ctrl-C does not wait`, 'quiet');
}

async function tellFate(desk: Desk, tell: Tell, isKept: boolean): Promise<void> {
  const { error } = tell;
  const isUnanswered = error === undefined ? tell.state === 'waiting' : error.code === 'AGENT_TERMINATED';
  const label = `${labelOf(tell)} ${oneLine(tell.agent)}`;
  if (isUnanswered && isKept) return desk.screen.print(`${label}: kept, to be answered next time`, 'quiet');
  if (isUnanswered) return desk.complain(`${label}: not answered; "await" waits for answers`);
  if (error !== undefined) await desk.complain(`${label}: ${error.message} (${error.code})`);
}
