import { type Artifact, ArtifactSchema } from '../../schemas/index.js';
import { z } from '../../schemas/zod.js';
import { diff } from '../internal/diff.js';
import type { Session } from '../session/session.js';
import { checked } from './checks.js';

/**
 * Saves what is new among the artifacts of a result; one that says what the session already has is not a new version.
 * Throws `InvalidValueError`, before any is saved.
 */
export async function rememberArtifacts(session: Session<unknown>, artifacts: readonly Artifact[]): Promise<void> {
  for (const artifact of checked(z.array(ArtifactSchema), artifacts, 'artifact')) {
    const current = session.artifacts.find(({ name }) => name === artifact.name);
    if (current === undefined || diff(current, artifact).length > 0) await session.saveArtifact(artifact);
  }
}
