/** The loop between a screen and a host. */

import { isAgentFlowError } from '../errors.js';
import type { Clock } from '../internal/clock.js';
import { obey } from './commands.js';
import type { Desk } from './desk.js';

/** Ctrl-C twice within this time leaves, whatever else is waiting to be done. */
const doublePressMs = 1_000;

/**
 * One line after another, until the input ends or somebody leaves; what goes wrong is told, and the next line is read.
 * Answers whether it was left in a hurry, by Ctrl-C twice.
 */
export async function talk(desk: Desk, clock: Clock): Promise<boolean> {
  const { screen } = desk;
  let pressedAt = Number.NEGATIVE_INFINITY;
  let isHasty = false;
  screen.onInterrupt(() => {
    const isSecond = clock.now() - pressedAt < doublePressMs;
    pressedAt = clock.now();
    isHasty ||= isSecond;
    const hasInterrupted = desk.interrupt();
    if (isSecond || !hasInterrupted) screen.close();
  });
  for await (const line of screen.lines()) {
    try {
      await desk.obeying(() => obey(desk, line));
    } catch (error) {
      if (isAgentFlowError(error) && error.code === 'TURN_INTERRUPTED') await tellInterrupted(desk);
      else await desk.complain(error);
    }
  }
  return isHasty;
}

async function tellInterrupted(desk: Desk): Promise<void> {
  desk.hasFailed = true;
  await desk.screen.print('(interrupted)', 'quiet');
}
