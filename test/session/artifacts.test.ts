import { beforeEach, describe, expect, it } from 'vitest';
import type { Artifact } from '../../schemas/index.js';
import { MemorySessionStore } from '../../src/stores/memory.js';
import { openTestSession } from '../support/sessions.js';
import { errorOf } from '../support/waiting.js';

let store: MemorySessionStore;

beforeEach(() => {
  store = new MemorySessionStore();
});

const open = async () => (await openTestSession({ store })).session;
const text = (name: string, content: string): Artifact => ({ name, parts: [{ text: content }] });

describe('an artifact', () => {
  it('is saved under its name; the same name again is its next version, the history stays', async () => {
    const session = await open();
    await session.saveArtifact(text('report', 'v1'));
    await session.saveArtifact(text('image', 'v1'));
    await session.saveArtifact({ ...text('report', 'v2'), metadata: { by: 'me' } });
    expect(session.artifacts).toEqual([{ ...text('report', 'v2'), metadata: { by: 'me' } }, text('image', 'v1')]);
    expect(session.artifactVersions('report').map(({ parts }) => parts[0]?.text)).toEqual(['v1', 'v2']);
    expect(session.artifactVersions('none')).toEqual([]);
    expect(session.version).toBe(4);
    await session.release();
    const again = await open();
    expect(again.artifacts).toEqual(session.artifacts);
    expect(again.artifactVersions('report')).toEqual(session.artifactVersions('report'));
  });

  it('saved many times over at once keeps every version in order', async () => {
    const session = await open();
    const contents = Array.from({ length: 50 }, (_, index) => String(index));
    await Promise.all(contents.map((content) => session.saveArtifact(text('a', content))));
    expect(session.artifactVersions('a').map(({ parts }) => parts[0]?.text)).toEqual(contents);
    expect(session.artifacts).toHaveLength(1);
  });

  it('goes on being recalled while the state changes, and the other way round', async () => {
    const session = await open();
    await session.updateState({ n: 1 });
    await session.saveArtifact(text('a', 'v1'));
    await session.updateState({ n: 2 });
    expect([session.state, session.artifacts]).toEqual([{ n: 2 }, [text('a', 'v1')]]);
  });

  it('may have any name but the empty one, and keeps what Genkit puts into parts', async () => {
    const session = await open();
    const names = ['__proto__', 'constructor', '../../etc', 'a/b~c', '\u0000', '-'];
    const parts = [
      { media: { url: 'https://example.com/x.png', contentType: 'image/png' } },
      { toolRequest: { name: 't', input: { a: [1, null] } } },
      { data: { ['__proto__']: 1, deep: [] }, unknownMember: true },
    ];
    for (const name of names) await session.saveArtifact({ name, parts });
    await session.release();
    const again = await open();
    expect(again.artifacts.map(({ name }) => name)).toEqual(names);
    expect(again.artifacts[0]?.parts).toEqual(parts);
  });

  it.each([
    [null, '', 'null'],
    [{ name: '', parts: [] }, 'name', 'string'],
    [{ name: 'a' }, 'parts', 'undefined'],
    [{ name: 'a', parts: ['text'] }, 'parts.0', 'string'],
    [{ name: 'a', parts: [{ text: 5 }] }, 'parts.0.text', 'number'],
    [{ name: 'a', parts: [{ data: [new Date()] }] }, 'parts.0.data.0', 'an instance of Date'],
    [{ name: 'a', parts: [], metadata: { n: 1n } }, 'metadata.n', 'bigint'],
  ])('that is wrong is refused with its path: %o', async (artifact, path, received) => {
    const session = await open();
    expect(await errorOf(session.saveArtifact(artifact as never))).toMatchObject({
      code: 'INVALID_VALUE',
      kind: 'artifact',
      issues: [{ path, received }],
    });
    expect([session.version, session.artifacts]).toEqual([1, []]);
  });
});
