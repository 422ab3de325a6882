/** Where a chat begins: what a client's `init` asks for, in terms of our sessions. */
import type { AgentInit } from 'genkit/beta';
import type { StreamBidiOptions } from '../../agent/agent.js';
import { AgentFlowError, InvalidValueError } from '../../errors.js';
import type { ChatShape } from './shape.js';
import { decodeSnapshotId } from './snapshot-id.js';
import type { ChatSnapshots } from './snapshots.js';

/** What is needed of the agent. */
export interface ChatOpening {
  readonly name: string;
  readonly shape: ChatShape;
  /** Only for an agent with a store. */
  readonly server: { readonly snapshots: ChatSnapshots } | undefined;
}

/** Refuses an `init` that cannot be meant for this agent. Such a mistake is thrown, as Genkit does, and not told as an outcome. */
export function assertMeantFor({ name, server }: ChatOpening, init: AgentInit): void {
  const { snapshotId, sessionId, state } = init;
  if (server === undefined && (snapshotId || sessionId)) {
    const member = snapshotId ? 'snapshotId' : 'sessionId';
    const message = `Cannot use '${member}' with agent '${name}': it has no session store. Send 'state' instead`;
    throw new AgentFlowError('NO_STORE', message);
  }
  if (server !== undefined && state !== undefined) {
    const received = `a state. Cannot send 'state' to agent '${name}': it has a session store. Send 'snapshotId' or 'sessionId'`;
    const issue = { path: 'state', expected: 'none', received };
    throw new InvalidValueError('init', [issue], { status: 'FAILED_PRECONDITION' });
  }
  const owner = snapshotId && sessionId ? decodeSnapshotId(snapshotId)?.sessionId : undefined;
  if (owner !== undefined && owner !== sessionId) {
    const received = 'one that does not belong to session of this id';
    throw new InvalidValueError('init', [{ path: 'snapshotId', expected: "a snapshot of 'sessionId'", received }]);
  }
}

/** Which session to open: a snapshot's version as a new head, a session's newest version, or a state the client kept. */
export async function openingOf({ server, shape }: ChatOpening, init: AgentInit): Promise<StreamBidiOptions<unknown>> {
  if (init.snapshotId && server !== undefined) {
    const { sessionId, version } = await server.snapshots.resumable(init.snapshotId);
    return { sessionId, version };
  }
  const { state } = init;
  const sessionId = init.sessionId || state?.sessionId;
  return { ...(sessionId ? { sessionId } : {}), ...(state === undefined ? {} : { init: shape.restore(state) }) };
}
