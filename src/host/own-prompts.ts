/** Prompts that an agent makes for itself, on their way: into its one slot, or into the queue like everybody's. */
import type { AgentFlowError } from '../errors.js';
import type { AgentParts } from './actor-parts.js';
import { factsOf } from './cycle.js';
import type { Request } from './request.js';

type Place = Pick<AgentParts, 'name' | 'backlog' | 'observers'>;

/** Queues a prompt; answers why it has no room. */
export function queueOwn({ name, backlog, observers }: Place, request: Request): AgentFlowError | undefined {
  try {
    backlog.assertRoom(request.prompt);
  } catch (error) {
    return error as AgentFlowError;
  }
  backlog.queue(request);
  observers.tell(name, { type: 'mailbox.queued', depth: backlog.prompts });
  return undefined;
}

/** Puts what a turn has decided into the slot; what waited there to be tried again joins the queue. */
export function chain(place: Place, request: Request): void {
  const displaced = place.backlog.takeChain();
  place.backlog.setChain(request);
  if (displaced === undefined) return;
  const error = queueOwn(place, displaced);
  if (error !== undefined) drop(place, displaced, error);
}

/** Puts a prompt into the slot that takes the place of a refused one. What a turn has decided stays: somebody may wait for it. */
export function chainIfFree(place: Place, request: Request, refused: AgentFlowError): void {
  if (place.backlog.chain === undefined) place.backlog.setChain(request);
  else drop(place, request, refused);
}

/** Nothing becomes of it, and nobody waits for it. */
function drop({ name, backlog, observers }: Place, request: Request, { code }: AgentFlowError): void {
  observers.tell(name, { type: 'turn.rejected', code, ...factsOf(request) });
  backlog.forget(request);
}
