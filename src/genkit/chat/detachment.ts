/** A chat's way to the background: the task that is written down for it, and what becomes of that. */
import { encodeSnapshotId } from './snapshot-id.js';
import type { ChatTasks, RunningTask, TaskRecord } from './tasks.js';

/** One run that may be sent to the background, once. */
export class Detachment {
  readonly #tasks: Pick<ChatTasks, 'begin'>;
  #task: RunningTask | undefined;
  #record: TaskRecord | undefined;

  constructor(tasks: Pick<ChatTasks, 'begin'>) {
    this.#tasks = tasks;
  }

  /** In the background a run goes on whatever becomes of its caller. */
  get isDetached(): boolean {
    return this.#task !== undefined;
  }

  /**
   * Writes down that the run goes on by itself, from this version of the session. Answers the id of the snapshot that says
   * what becomes of it.
   *
   * @param onAbort told when another process has ended the task
   */
  async begin(
    { sessionId, version }: { readonly sessionId: string; readonly version: number },
    onAbort: () => void,
  ): Promise<string> {
    const task = await this.#tasks.begin(sessionId, version, onAbort);
    this.#task = task;
    // The agent may have ended the run meanwhile.
    if (this.#record !== undefined) await task.end(this.#record);
    return encodeSnapshotId({ sessionId, version, task: task.id });
  }

  /** The run is over: that is written down, if it was in the background. */
  async end(record: TaskRecord): Promise<void> {
    this.#record = record;
    await this.#task?.end(record);
  }
}
