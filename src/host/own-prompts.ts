/** Prompts that an agent makes for itself, on their way: into its one slot, or into the queue like everybody's. */
import type { AgentFlowError } from '../errors.js';
import type { AgentParts } from './actor-parts.js';
import type { Request } from './request.js';
import { factsOf } from './turn-cycle.js';

type Place = Pick<AgentParts, 'name' | 'mailbox' | 'observers'>;

/** Queues a prompt; answers why it has no room. */
export function queueOwn({ name, mailbox, observers }: Place, request: Request): AgentFlowError | undefined {
  try {
    mailbox.assertRoom(request.prompt);
  } catch (error) {
    return error as AgentFlowError;
  }
  mailbox.queue(request);
  observers.tell(name, { type: 'mailbox.queued', depth: mailbox.prompts });
  return undefined;
}

/** Puts what a turn has decided into the slot; what waited there to be tried again joins the queue. */
export function chain(place: Place, request: Request): void {
  const displaced = place.mailbox.takeChain();
  place.mailbox.setChain(request);
  if (displaced === undefined) return;
  const error = queueOwn(place, displaced);
  if (error !== undefined) drop(place, displaced, error);
}

/** Puts a prompt into the slot that takes the place of a refused one. What a turn has decided stays: somebody may wait for it. */
export function chainIfFree(place: Place, request: Request, refused: AgentFlowError): void {
  if (place.mailbox.chain === undefined) place.mailbox.setChain(request);
  else drop(place, request, refused);
}

/** Nothing becomes of it, and nobody waits for it. */
function drop({ name, mailbox, observers }: Place, request: Request, { code }: AgentFlowError): void {
  observers.tell(name, { type: 'turn.rejected', code, ...factsOf(request) });
  mailbox.forget(request);
}
