/** Who prompted whom. */

/** How often one prompted or notified another. */
export interface GraphEdge {
  /** The agent it came from; `undefined`: from outside the host. */
  readonly from: string | undefined;
  /** The agent it went to. */
  readonly to: string;
  readonly kind: 'ask' | 'tell' | 'notify';
  /** How often since the host was made; what was refused does not count. */
  readonly count: number;
}

/** Beyond it the edges that were drawn first are forgotten. */
const maxEdges = 10_000;

/** Who prompted whom, counted. */
export class Graph {
  readonly #edges = new Map<string, GraphEdge>();

  add(from: string | undefined, to: string, kind: GraphEdge['kind']): void {
    const key = JSON.stringify([from ?? null, to, kind]);
    const count = (this.#edges.get(key)?.count ?? 0) + 1;
    this.#edges.set(key, { from, to, kind, count });
    if (this.#edges.size <= maxEdges) return;
    const [first] = this.#edges.keys();
    if (first !== undefined) this.#edges.delete(first);
  }

  /** In the order they were first drawn. */
  get edges(): readonly GraphEdge[] {
    return [...this.#edges.values()];
  }
}
