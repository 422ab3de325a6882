/** The runs that are open in this process, by session. Nearly every session has one at most, and needs no list for it. */
export class OpenRuns<Run extends { readonly sessionId: string }> {
  readonly #runs = new Map<string, Run | readonly Run[]>();

  /** Those of a session, in the order they were opened. */
  of(sessionId: string): readonly Run[] {
    return [this.#runs.get(sessionId) ?? []].flat() as Run[];
  }

  /** Is there one for this session? */
  has(sessionId: string): boolean {
    return this.#runs.has(sessionId);
  }

  add(run: Run): void {
    const others = this.of(run.sessionId);
    this.#runs.set(run.sessionId, others.length === 0 ? run : [...others, run]);
  }

  delete(run: Run): void {
    const [first, ...others] = this.of(run.sessionId).filter((other) => other !== run);
    if (first === undefined) this.#runs.delete(run.sessionId);
    else this.#runs.set(run.sessionId, others.length === 0 ? first : [first, ...others]);
  }
}
