import { describe, expect, it } from 'vitest';
import type { Artifact } from '../../schemas/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { testAgent } from '../support/agents.js';
import { errorOf } from '../support/waiting.js';

const text = (name: string, content: string): Artifact => ({ name, parts: [{ text: content }] });

/** An agent whose result has whatever artifacts its input is. */
function gallery() {
  const store = new MemorySessionStore();
  const agent = testAgent({ store }, async ({ inputStream, session }) => {
    let artifacts: unknown;
    for await (const input of inputStream) artifacts = input;
    return { output: session.artifactVersions('a').length, artifacts: artifacts as Artifact[] };
  });
  const run = (artifacts: unknown) => {
    const conn = agent.open({ sessionId: 's' });
    void conn.send(artifacts);
    conn.close();
    return conn.output();
  };
  return { ...agent, run };
}

describe('artifacts of a result', () => {
  it('are saved with the session and told with the output, those of earlier runs too', async () => {
    const { run, sessions } = gallery();
    expect((await run([text('a', 'v1'), text('b', 'v1')])).artifacts).toEqual([text('a', 'v1'), text('b', 'v1')]);
    expect((await run([text('b', 'v2')])).artifacts).toEqual([text('a', 'v1'), text('b', 'v2')]);
    expect((await run(undefined)).artifacts).toHaveLength(2);
    expect(await sessions.get('s')).toMatchObject({ version: 4, artifacts: [text('a', 'v1'), text('b', 'v2')] });
  });

  it('are left out of the output when there are none', async () => {
    expect(await gallery().run([])).not.toHaveProperty('artifacts');
  });

  it('that say what the session has already are no new version', async () => {
    const { run, sessions } = gallery();
    const artifact = { name: 'a', parts: [{ text: 'v1', metadata: { k: 1 } }], metadata: undefined, extra: 'dropped' };
    for (let time = 0; time < 3; time++) await run([artifact, artifact]);
    expect((await sessions.get('s'))?.version).toBe(2);
    expect((await run([text('a', 'v2')])).artifacts).toEqual([text('a', 'v2')]);
    expect((await run([artifact])).output).toBe(2);
    expect((await sessions.get('s'))?.version).toBe(4);
  });

  it('that are wrong fail the run with their path, and none is saved', async () => {
    const { run, sessions } = gallery();
    for (const [artifacts, path] of [
      [[text('a', 'v1'), null], '1'],
      [[text('a', 'v1'), { name: 'b', parts: 'x' }], '1.parts'],
      ['text', ''],
      [{}, ''],
    ] as const) {
      expect(await errorOf(run(artifacts))).toMatchObject({
        code: 'INVALID_VALUE',
        kind: 'artifact',
        issues: [{ path }],
      });
    }
    expect((await sessions.get('s'))?.artifacts).toEqual([]);
  });
});
