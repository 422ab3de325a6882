/**
 * The state machine of a named agent, as data: the code asks this table and has no other.
 *
 * An agent is idle or processing. Processing is a whole turn, from the prompt's dispatch to its caller's answer, callbacks
 * included. A halt that is asked for waits until nothing goes on; one that a callback decides cannot be taken back, only
 * followed by a resume. A halted agent is idle: it hears events and takes no prompt.
 *
 * Draining is no phase: the agent goes on as it is, but takes nothing new and ends when its turn does.
 *
 * Source: `GenAgent`'s `:gen_statem` (`:idle`, `:processing`, `halted`), with a halt from outside and a drain added.
 */

/** Where an agent is. */
export type Phase =
  | 'idle'
  | 'idle, to halt'
  | 'halted'
  | 'processing'
  | 'processing, to halt'
  | 'processing, halting'
  | 'processing, halting, to resume'
  | 'ended';

/** What can happen to it. */
export type Happening =
  | 'a turn begins'
  | 'its callbacks are through'
  | 'the turn ends'
  | 'halt'
  | 'a callback halts'
  | 'the halt is due'
  | 'resume'
  | 'end';

/** What follows. */
export type Consequence =
  | 'run the turn'
  | 'run postRun'
  | 'take what is next'
  | 'tell that it resumes'
  | 'clean up'
  | 'nothing';

/** Every transition there is. What is not listed changes nothing. */
export const transitions: readonly (readonly [from: Phase, on: Happening, to: Phase, then: Consequence])[] = [
  // from                              on                           to                                  then
  ['idle', 'a turn begins', 'processing', 'run the turn'],
  ['idle', 'halt', 'idle, to halt', 'take what is next'],
  ['idle', 'a callback halts', 'idle, to halt', 'take what is next'],
  ['idle', 'end', 'ended', 'clean up'],

  // Only a prompt that was taken before the halt was asked for begins a turn here.
  ['idle, to halt', 'a turn begins', 'processing, to halt', 'run the turn'],
  ['idle, to halt', 'the halt is due', 'halted', 'run postRun'],
  ['idle, to halt', 'resume', 'idle', 'take what is next'],
  ['idle, to halt', 'end', 'ended', 'clean up'],

  ['halted', 'resume', 'idle', 'tell that it resumes'],
  ['halted', 'end', 'ended', 'clean up'],

  ['processing', 'halt', 'processing, to halt', 'nothing'],
  ['processing', 'a callback halts', 'processing, halting', 'nothing'],
  ['processing', 'the turn ends', 'idle', 'take what is next'],
  ['processing', 'end', 'ended', 'clean up'],

  ['processing, to halt', 'resume', 'processing', 'nothing'],
  ['processing, to halt', 'a callback halts', 'processing, halting', 'nothing'],
  ['processing, to halt', 'its callbacks are through', 'processing, halting', 'run postRun'],
  // It was asked for when the callbacks were through already.
  ['processing, to halt', 'the turn ends', 'idle, to halt', 'take what is next'],
  ['processing, to halt', 'end', 'ended', 'clean up'],

  ['processing, halting', 'its callbacks are through', 'processing, halting', 'run postRun'],
  ['processing, halting', 'resume', 'processing, halting, to resume', 'nothing'],
  ['processing, halting', 'the turn ends', 'halted', 'nothing'],
  ['processing, halting', 'end', 'ended', 'clean up'],

  ['processing, halting, to resume', 'its callbacks are through', 'processing, halting, to resume', 'run postRun'],
  ['processing, halting, to resume', 'halt', 'processing, halting', 'nothing'],
  ['processing, halting, to resume', 'a callback halts', 'processing, halting', 'nothing'],
  ['processing, halting, to resume', 'the turn ends', 'idle', 'tell that it resumes'],
  ['processing, halting, to resume', 'end', 'ended', 'clean up'],
];

type Outcome = { readonly to: Phase; readonly then: Consequence };

const outcomes = new Map<Phase, Map<Happening, Outcome>>();
for (const [from, on, to, then] of transitions)
  outcomes.set(from, (outcomes.get(from) ?? new Map<Happening, Outcome>()).set(on, { to, then }));

/** Where a happening leads, and what follows; `undefined` where it changes nothing. */
export function transition(from: Phase, on: Happening): Outcome | undefined {
  return outcomes.get(from)?.get(on);
}

/** A turn is going on, its callbacks included. */
export function isProcessing(phase: Phase): boolean {
  return phase.startsWith('processing');
}

/** What waits for an agent that is not processing. */
export interface WhatWaits {
  /** `preRun` has not run yet. */
  readonly preRun: boolean;
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
export type Work = 'preRun' | 'admitted' | 'halt' | 'selfChain' | 'notification' | 'prompt' | 'nothing';

/**
 * The order: internal work, then the one self-chain slot, then what came from outside, in the order it came. A halted
 * agent hears notifications and does nothing else.
 */
export function nextWork(phase: Phase, waiting: WhatWaits): Work {
  const { preRun, admitted, selfChain, notification, prompt } = waiting;
  if (phase === 'ended' || isProcessing(phase)) return 'nothing';
  if (preRun) return 'preRun';
  if (admitted) return 'admitted';
  if (phase === 'idle, to halt') return 'halt';
  if (phase === 'halted') return notification === undefined ? 'nothing' : 'notification';
  if (selfChain) return 'selfChain';
  if (notification !== undefined && (prompt === undefined || notification < prompt)) return 'notification';
  return prompt === undefined ? 'nothing' : 'prompt';
}
