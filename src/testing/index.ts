/** The public test kit: what proves that a part of one's own keeps a contract of this package. */
export {
  type AskedTurn,
  type BackendSuite,
  type BackendUnderTest,
  type ModelFailure,
  type ModelTurn,
  testBackend,
} from './backend-suite.js';
export { ManualClock } from './manual-clock.js';
export {
  type SessionStoreSuite,
  type SkippedCase,
  type StoreUnderTest,
  type TestFunction,
  testSessionStore,
} from './session-store-suite.js';
