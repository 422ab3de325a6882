/** The codes of named agents and their host; part of the one table in `errors.ts`. */
export const statusOfHostCode = {
  /** No agent has this name in this host. */
  AGENT_NOT_FOUND: 'NOT_FOUND',
  /** An agent of this name runs already, or is being started or stopped. */
  AGENT_EXISTS: 'ALREADY_EXISTS',
  /** The behaviour's `init` threw, or answered something else than a state: the cause says why. */
  AGENT_INIT_FAILED: 'FAILED_PRECONDITION',
  /** The backend could not start or take up its session: the cause says why. */
  BACKEND_START_FAILED: 'UNAVAILABLE',
  /** The agent stopped or died before it answered; `details.reason` says which. */
  AGENT_TERMINATED: 'UNAVAILABLE',
  /** The agent died and its host starts it again soon. */
  AGENT_RESTARTING: 'UNAVAILABLE',
  /** The agent is halted, and the request was not to wait for its resume. */
  AGENT_HALTED: 'FAILED_PRECONDITION',
  /** The agent finishes what it does and takes nothing new. */
  AGENT_DRAINING: 'UNAVAILABLE',
  /** What was asked for needs an idle agent. */
  AGENT_BUSY: 'UNAVAILABLE',
  /** An interrupt with a ref found no turn in flight. */
  AGENT_IDLE: 'FAILED_PRECONDITION',
  /** A bounded queue is full: see `OverloadedError`. */
  AGENT_OVERLOADED: 'RESOURCE_EXHAUSTED',
  /** A callback of an agent asked for something of this same agent that can only come after the callback. */
  AGENT_SELF_CALL: 'FAILED_PRECONDITION',
  /** No such request: never made, not a `tell`, or its result is no longer kept. */
  REF_NOT_FOUND: 'NOT_FOUND',
  /** The request is being answered: it can be interrupted, not cancelled. */
  REQUEST_CURRENT: 'FAILED_PRECONDITION',
  /** The request has been answered already. */
  REQUEST_FINISHED: 'FAILED_PRECONDITION',
  /** The turn in flight is that of another request. */
  REQUEST_NOT_CURRENT: 'FAILED_PRECONDITION',
  /** The request was taken out of the queue by `cancel`, or by its caller's signal. */
  REQUEST_CANCELLED: 'CANCELLED',
  /** The caller waited as long as it wanted to; the agent works on. */
  WAIT_TIMEOUT: 'DEADLINE_EXCEEDED',
  /** `preTurn` skipped the prompt, or threw. */
  TURN_SKIPPED: 'FAILED_PRECONDITION',
  /** `preTurn` halted the agent instead of asking. */
  TURN_HALTED: 'FAILED_PRECONDITION',
  /** The turn took longer than `watchdogMs`. */
  TURN_TIMEOUT: 'DEADLINE_EXCEEDED',
  /** The process died during the turn, and the policy is not to try again. */
  TURN_LOST: 'ABORTED',
  /** The turn had more events than are kept, and the policy is `lossless`. */
  TURN_EVENTS_OVERFLOW: 'RESOURCE_EXHAUSTED',
  /** A callback of the behaviour threw, or answered something it may not; `details.callback` names it. */
  CALLBACK_FAILED: 'INTERNAL',
  /** A turn would cost, or has cost, more than its budget allows: see `BudgetError`. */
  BUDGET_EXCEEDED: 'RESOURCE_EXHAUSTED',
  /** The host was closed. */
  HOST_CLOSED: 'FAILED_PRECONDITION',
} as const;
