import type { ToolResult, ToolUse } from '../../providers/provider.js';

/** What became of the wish to run a call. */
export interface BegunCall {
  /** True for exactly one asker, ever: it runs the call. */
  readonly isFirst: boolean;
  /** There once the call has run. */
  readonly result?: ToolResult;
}

/**
 * PORT: where tool calls and their results are recorded, so that a call whose id is known is never run twice, in this
 * process or another. `sessionToolJournal` keeps it in a `SessionStore`. What a method has recorded when it resolves
 * outlives the process.
 */
export interface ToolJournal {
  /** Records the calls a turn has handed back, in one step. Those that are known already are left as they are. */
  add(sessionId: string, uses: readonly ToolUse[]): Promise<void>;
  /** Records that a call is about to run, or answers that it was begun before. */
  begin(sessionId: string, use: ToolUse): Promise<BegunCall>;
  /** Records a result. The first one of a call counts. */
  record(sessionId: string, result: ToolResult): Promise<void>;
  /** Records that the results of these calls are about to be sent. */
  sending(sessionId: string, callIds: readonly string[]): Promise<void>;
  /** Calls that were handed back and whose results were not about to be sent, oldest first. */
  unsent(sessionId: string): Promise<readonly ToolUse[]>;
}

interface Entry {
  readonly use: ToolUse;
  isBegun: boolean;
  isSent: boolean;
  result?: ToolResult;
}

/** A {@link ToolJournal} that lives as long as this object. */
export class MemoryToolJournal implements ToolJournal {
  readonly #sessions = new Map<string, Map<string, Entry>>();

  async add(sessionId: string, uses: readonly ToolUse[]): Promise<void> {
    for (const use of uses) this.#entry(sessionId, use);
  }

  async begin(sessionId: string, use: ToolUse): Promise<BegunCall> {
    const entry = this.#entry(sessionId, use);
    const isFirst = !entry.isBegun;
    entry.isBegun = true;
    return entry.result === undefined ? { isFirst } : { isFirst, result: entry.result };
  }

  async record(sessionId: string, result: ToolResult): Promise<void> {
    const entry = this.#calls(sessionId).get(result.toolUseId);
    if (entry !== undefined) entry.result ??= result;
  }

  async sending(sessionId: string, callIds: readonly string[]): Promise<void> {
    const calls = this.#calls(sessionId);
    for (const id of callIds) {
      const entry = calls.get(id);
      if (entry !== undefined) entry.isSent = true;
    }
  }

  async unsent(sessionId: string): Promise<readonly ToolUse[]> {
    return [...this.#calls(sessionId).values()].filter(({ isSent }) => !isSent).map(({ use }) => use);
  }

  #entry(sessionId: string, use: ToolUse): Entry {
    const calls = this.#calls(sessionId);
    const entry = calls.get(use.id) ?? { use, isBegun: false, isSent: false };
    calls.set(use.id, entry);
    return entry;
  }

  #calls(sessionId: string): Map<string, Entry> {
    const calls = this.#sessions.get(sessionId) ?? new Map<string, Entry>();
    this.#sessions.set(sessionId, calls);
    return calls;
  }
}
