/** What a handler's result says of artifacts. */
import { type Artifact, ArtifactSchema } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import { diff } from '../internal/diff.js';
import type { Session } from '../session/session.js';
import { checked } from './checks.js';

/**
 * Saves what is new among the artifacts of a result; one that says what the session already has is not a new version.
 * Throws `InvalidValueError`, before any is saved.
 */
export async function saveNewArtifacts(session: Session<unknown>, artifacts: readonly Artifact[]): Promise<void> {
  const current = new Map(session.artifacts.map((artifact) => [artifact.name, artifact]));
  for (const artifact of checked(z.array(ArtifactSchema), artifacts, 'artifact')) {
    const known = current.get(artifact.name);
    if (known !== undefined && diff(known, artifact).length === 0) continue;
    await session.saveArtifact(artifact);
    current.set(artifact.name, artifact);
  }
}
