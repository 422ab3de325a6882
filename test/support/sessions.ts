/** Sessions without an agent around them. */
import { z } from '../../schemas/zod.js';
import { stateRules } from '../../src/agent/state-rules.js';
import type { LeaseLostError } from '../../src/errors.js';
import { systemClock } from '../../src/internal/clock.js';
import { type Opened, type OpenSessionOptions, openSession } from '../../src/session/open-session.js';
import type { SessionStore } from '../../src/session/store.js';

/** How a test opens a session; everything has a default. */
export interface TestSessionOptions extends Partial<Omit<OpenSessionOptions, 'rules' | 'store'>> {
  readonly schema?: z.ZodTypeAny;
  readonly initialState?: unknown;
  readonly migrate?: (stored: unknown) => unknown;
  readonly store?: SessionStore | undefined;
}

let owners = 0;

/** Opens a session by the agent's own rules. */
export function openTestSession<State = Record<string, unknown>>(
  options: TestSessionOptions = {},
): Promise<Opened<State>> {
  const { schema = z.record(z.unknown()).default({}), initialState, migrate, store, ...rest } = options;
  owners += 1;
  return openSession<State>({
    sessionId: 'a session',
    store,
    rules: stateRules({ schema, initialState, migrate }),
    init: undefined,
    version: undefined,
    policy: 'queue',
    owner: `owner-${owners}`,
    clock: systemClock,
    leaseTtlMs: 15_000,
    keepVersions: undefined,
    signal: new AbortController().signal,
    onLost: (_error: LeaseLostError) => {},
    ...rest,
  });
}
