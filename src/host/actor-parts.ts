/** What an agent is made of when it starts, and what it shows of itself. */
import type { Backend, BackendSessionOptions } from '../backends/backend.js';
import type { Clock } from '../internal/clock.js';
import type { AgentSpec } from './agent-spec.js';
import type { AnyBehaviour, EndReason, Origin, TurnOutcome } from './behaviour.js';
import type { Observers } from './events.js';
import type { Ledger } from './ledger.js';
import type { Mailbox } from './mailbox.js';
import type { AgentMemory } from './memory.js';
import type { Policies } from './options.js';
import type { AgentRecord } from './record.js';
import type { Request } from './request.js';
import type { LostTurn } from './turn-cycle.js';

/** What an agent is made of. */
export interface AgentParts {
  readonly name: string;
  readonly behaviour: AnyBehaviour;
  readonly backend: Backend;
  /** Its host, in this process. */
  readonly owner: string;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly observers: Observers;
  /** The agent's own budget, where it has one. */
  readonly ledger: Ledger | undefined;
  /** It, and the host's. */
  readonly ledgers: readonly Ledger[];
  readonly memory: AgentMemory | undefined;
  readonly mailbox: Mailbox;
  readonly record: AgentRecord;
  readonly sessionOptions: BackendSessionOptions | undefined;
  /** `preRun` has run, in an earlier process. */
  readonly hasRun: boolean;
  /** The request whose turn an earlier process left behind. */
  readonly lost: (LostTurn & { readonly request: Request; readonly isRetried: boolean }) | undefined;
  /** What it was started with, to be started again. */
  readonly spec: AgentSpec;
  /** The agent has ended. */
  readonly onEnd: (parts: AgentParts, reason: EndReason, cause: unknown) => Promise<void>;
}

/** What an agent begins with. */
export interface AgentBeginning {
  readonly state: unknown;
  /** The backend's. */
  readonly session: unknown;
  readonly isHalted: boolean;
  /** Outcomes that an earlier process kept. */
  readonly results: readonly { readonly ref: string; readonly order: number; readonly outcome: TurnOutcome }[];
}

/** How an agent stands. Source: `GenAgent.status/2`. */
export interface AgentStatus {
  readonly name: string;
  /** `processing`: a turn goes on, its callbacks included. */
  readonly state: 'idle' | 'processing';
  /** Idle, and takes no prompt until `resume`. */
  readonly halted: boolean;
  /** Prompts that wait; the self-chain does not count. */
  readonly queued: number;
  /** The ref of the request that was taken and is not answered yet. */
  readonly currentRequest: string | undefined;
  /** The state after the last callback. */
  readonly agentState: unknown;
}

/** How an agent stands, without a word of what it is about. Source: `GenAgent.runtime_snapshot/2`. */
export interface RuntimeSnapshot {
  /** `processing` from a prompt's dispatch (after `preTurn`) until its caller is answered, callbacks included. */
  readonly phase: 'idle' | 'processing';
  /** Idle, and takes no prompt until `resume`; notifications are heard all the same. */
  readonly halted: boolean;
  /** It halts when what goes on is over. */
  readonly haltPending: boolean;
  /** Takes nothing new, and ends with the turn in flight: after `drain`, or while its host closes. */
  readonly draining: boolean;
  /** Prompts in the queue; neither the one that was taken nor the self-chain counts. */
  readonly pendingPrompts: number;
  /** Notifications that no `handleEvent` has been given yet. */
  readonly pendingNotifications: number;
  /** A prompt that a callback decided waits in its one slot, before the queue. */
  readonly selfChainPending: boolean;
  /** The request that was taken and is not answered yet; `undefined`: there is none. */
  readonly currentRequest:
    | {
        readonly ref: string;
        /** Who prompted: a caller, an event, or the agent itself. */
        readonly origin: Origin;
        /** 1, and one more each time the request was tried again. */
        readonly attempt: number;
        /** Since the turn began; 0 before. */
        readonly elapsedMs: number;
        /** Milliseconds that the turn may take; `Infinity`: as long as it needs. */
        readonly watchdogMs: number;
      }
    | undefined;
}
