/**
 * The state machine of a named agent, as data.
 *
 * An agent is idle or processing; `halted` is idle with a flag: it hears events and takes no prompt. A turn is everything
 * from the prompt's dispatch to the answer of its caller, callbacks included.
 *
 * Source: `GenAgent`'s `:gen_statem` (`:idle`, `:processing`, `halted`), with a halt from outside and a drain added.
 */

/** Where an agent is. */
export type Phase = 'idle' | 'halted' | 'processing' | 'ended';

/** What can happen to it. */
export type Happening =
  | 'a turn begins'
  | 'a prompt is refused'
  | 'the turn ends'
  | 'the turn ends in a halt'
  | 'halt'
  | 'resume'
  | 'end';

/** What follows. */
export type Consequence =
  | 'run the turn'
  | 'take what is next'
  | 'call postRun'
  | 'halt when the turn ends'
  | 'forget that halt'
  | 'clean up'
  | 'nothing';

/** Every transition there is. What is not listed cannot happen. */
export const transitions: readonly (readonly [from: Phase, on: Happening, to: Phase, then: Consequence])[] = [
  // from        on                         to            then
  ['idle', 'a turn begins', 'processing', 'run the turn'],
  ['idle', 'a prompt is refused', 'idle', 'take what is next'],
  ['idle', 'halt', 'halted', 'call postRun'],
  ['idle', 'resume', 'idle', 'nothing'],
  ['idle', 'end', 'ended', 'clean up'],

  ['processing', 'the turn ends', 'idle', 'take what is next'],
  ['processing', 'the turn ends in a halt', 'halted', 'call postRun'],
  ['processing', 'halt', 'processing', 'halt when the turn ends'],
  ['processing', 'resume', 'processing', 'forget that halt'],
  ['processing', 'end', 'ended', 'clean up'],

  ['halted', 'halt', 'halted', 'nothing'],
  ['halted', 'resume', 'idle', 'take what is next'],
  ['halted', 'end', 'ended', 'clean up'],

  ['ended', 'end', 'ended', 'nothing'],
];

const byPhase: Readonly<Record<string, { readonly to: Phase; readonly then: Consequence }>> = Object.fromEntries(
  transitions.map(([from, on, to, then]) => [`${from}: ${on}`, { to, then }]),
);

/** Where a happening leads, or `undefined` where it cannot happen. */
export function transition(from: Phase, on: Happening): { readonly to: Phase; readonly then: Consequence } | undefined {
  return byPhase[`${from}: ${on}`];
}

/** What waits for an agent that is not processing. */
export interface Waiting {
  /** `preRun` has not run yet. */
  readonly preRun: boolean;
  /** A halt was asked for while a callback ran. */
  readonly halt: boolean;
  /** A prompt that came when nothing else did: it never queued. */
  readonly admitted: boolean;
  /** The one slot of a prompt that a turn's own callback decided. */
  readonly selfChain: boolean;
  /** When the oldest notification came, as a number that grows; `undefined`: there is none. */
  readonly notification: number | undefined;
  /** When the oldest queued prompt came. */
  readonly prompt: number | undefined;
}

/** What an agent does next. */
export type Work = 'preRun' | 'halt' | 'admitted' | 'selfChain' | 'notification' | 'prompt' | 'nothing';

/**
 * The order: internal work, then the one self-chain slot, then what came from outside, in the order it came. A halted
 * agent hears notifications and does nothing else.
 */
export function nextWork(phase: Phase, waiting: Waiting): Work {
  const { preRun, halt, admitted, selfChain, notification, prompt } = waiting;
  if (phase === 'ended' || phase === 'processing') return 'nothing';
  if (preRun) return 'preRun';
  if (admitted) return 'admitted';
  if (halt) return 'halt';
  if (phase === 'halted') return notification === undefined ? 'nothing' : 'notification';
  if (selfChain) return 'selfChain';
  if (notification !== undefined && (prompt === undefined || notification < prompt)) return 'notification';
  return prompt === undefined ? 'nothing' : 'prompt';
}
