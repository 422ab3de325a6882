/** The client of a chat while the chat goes on: what is said, what changes, and how each turn has ended. */
import type { AgentStreamChunk } from 'genkit/beta';
import type { Artifact } from '../../agent/agent.js';
import { CustomPatches } from './custom-patches.js';
import type { ModelChunk } from './shape.js';

/** Tells one client. Whoever listened may be gone, which is nobody's business here. */
export class ChatClient {
  readonly #sendChunk: (chunk: AgentStreamChunk) => void;
  readonly #patches = new CustomPatches();
  #isLetGo = false;

  constructor(sendChunk: (chunk: AgentStreamChunk) => void) {
    this.#sendChunk = sendChunk;
  }

  /** From here on changes are told against this state. */
  turnBegins(custom: unknown): void {
    this.#patches.begin(custom);
  }

  /** The agent says something. */
  hear(modelChunk: ModelChunk): void {
    this.#tell({ modelChunk });
  }

  /** The state is another one, perhaps. */
  stateIs(custom: unknown): void {
    const customPatch = this.#patches.next(custom);
    if (customPatch !== undefined) this.#tell({ customPatch });
  }

  /** An artifact has a new version. */
  artifactIs(artifact: Artifact): void {
    this.#tell({ artifact: artifact as AgentStreamChunk['artifact'] });
  }

  /** The turn is over. */
  turnEnds(turnEnd: NonNullable<AgentStreamChunk['turnEnd']>): void {
    this.#tell({ turnEnd });
  }

  /** The client has its answer, and is told nothing more. */
  letGo(): void {
    this.#isLetGo = true;
  }

  #tell(chunk: AgentStreamChunk): void {
    if (this.#isLetGo) return;
    try {
      this.#sendChunk(chunk);
    } catch {
      // The stream was closed.
    }
  }
}
