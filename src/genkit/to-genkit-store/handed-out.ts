/**
 * Which snapshots this process has handed out, and as what. It tells a branch, which somebody means, from a race, which
 * nobody does: both are turns that go on from a snapshot that another turn has gone on from.
 */
import { LruMap } from '../lru-map.js';

interface Mark {
  /** Somebody has it as the newest of its session. */
  isNewest: boolean;
  /** So many have asked for it when it was not, and have not gone on from it yet. */
  older: number;
  /** It was made here, so whoever made it has it as the newest, until another is made here. */
  isOwn: boolean;
}

/** So many, that none is forgotten while a turn that goes on from it runs. */
const rememberedSnapshots = 50_000;

/** The snapshots of one store, all tenants'. */
export class HandedOutSnapshots {
  readonly #marks = new LruMap<Mark>(rememberedSnapshots);

  /** Those of one tenant. */
  of(scope: string): HandedOut {
    return new HandedOut(this.#marks, scope);
  }
}

/** The snapshots of one tenant. */
export class HandedOut {
  readonly #marks: LruMap<Mark>;
  readonly #scope: string;

  constructor(marks: LruMap<Mark>, scope: string) {
    this.#marks = marks;
    this.#scope = scope;
  }

  /** Somebody was given the snapshot: as the newest, or as one that others have passed by. */
  give(snapshotId: string, isNewest: boolean): void {
    const mark = this.#markOf(snapshotId);
    if (isNewest) mark.isNewest = true;
    else mark.older += 1;
  }

  /** A snapshot was made here that goes on from the parent. */
  goOn(snapshotId: string, parentId: string | undefined): void {
    this.#markOf(snapshotId).isOwn = true;
    const parent = parentId === undefined ? undefined : this.#marks.get(this.#keyOf(parentId));
    if (parent !== undefined && parent.older > 0) parent.older -= 1;
  }

  /**
   * Whether a turn that passes by other snapshots, to go on from this one, means to. Not where it is one of those that have
   * this one as the newest and do not know better; those that asked for it when it was an older one do.
   */
  isMeant(snapshotId: string, passed: Iterable<string>): boolean {
    const mark = this.#marks.get(this.#keyOf(snapshotId));
    if (mark === undefined || mark.older > 0) return true;
    if (mark.isNewest) return false;
    return !mark.isOwn || this.#areOwn(passed);
  }

  #areOwn(snapshotIds: Iterable<string>): boolean {
    for (const id of snapshotIds) {
      if (this.#marks.get(this.#keyOf(id))?.isOwn !== true) return false;
    }
    return true;
  }

  #markOf(snapshotId: string): Mark {
    const key = this.#keyOf(snapshotId);
    const mark = this.#marks.get(key) ?? { isNewest: false, older: 0, isOwn: false };
    this.#marks.set(key, mark);
    return mark;
  }

  #keyOf(snapshotId: string): string {
    return JSON.stringify([this.#scope, snapshotId]);
  }
}
