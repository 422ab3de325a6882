import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSessionStore, InMemorySessionStore } from 'genkit/beta';
import { describe, test } from 'vitest';
import { fromGenkitStore } from '../../src/genkit/from-genkit-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { testSessionStore } from '../../src/testing/session-store-suite.js';

describe('InMemorySessionStore', () => {
  testSessionStore({
    test,
    create() {
      const clock = new ManualClock();
      const genkitStore = new InMemorySessionStore();
      const store = fromGenkitStore(genkitStore, { clock });
      return { store, advance: (ms) => clock.advance(ms), reopen: async () => fromGenkitStore(genkitStore, { clock }) };
    },
  });
});
describe('FileSessionStore', () => {
  testSessionStore({
    test,
    create() {
      const clock = new ManualClock();
      const folder = mkdtempSync(join(tmpdir(), 'from-genkit-'));
      const open = () => fromGenkitStore(new FileSessionStore(folder), { clock });
      return { store: open(), advance: (ms) => clock.advance(ms), reopen: async () => open(), dispose: () => rmSync(folder, { recursive: true, force: true }) };
    },
  });
});
