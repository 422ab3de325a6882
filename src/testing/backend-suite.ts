/** The suite every backend passes: the contract of `Backend`, case by case. */
import { cancelCases } from './backend-suite/cancelling.js';
import type { AskedTurn, BackendCase, BackendUnderTest, ModelFailure, ModelTurn } from './backend-suite/case.js';
import { sessionCases } from './backend-suite/sessions.js';
import { streamCases } from './backend-suite/streams.js';
import { tellingCases } from './backend-suite/telling.js';
import { registerCases, type SkippedCase, type TestFunction } from './cases.js';

export type { AskedTurn, BackendUnderTest, ModelFailure, ModelTurn };

/** What {@link testBackend} needs. */
export interface BackendSuite {
  readonly test: TestFunction;
  /** Makes a backend with a model that does as it is told; called once for each case, and its `dispose` afterwards. */
  readonly create: () => BackendUnderTest | Promise<BackendUnderTest>;
  /** @default none */
  readonly skip?: readonly SkippedCase[];
}

const cases: readonly BackendCase[] = [...streamCases, ...sessionCases, ...cancelCases, ...tellingCases];

/**
 * Registers one test for every rule of the `Backend` contract. Assertions are node:assert's, so any runner will do. The
 * suite plays the model: `create` answers a backend whose model, a local server or a scripted executable, does what
 * `play` says and tells what it was asked and whether it is still at work.
 *
 * Throws `INVALID_VALUE` for a skip that names no case or gives no reason.
 *
 * @example
 * import { test } from 'node:test';
 *
 * testBackend({ test, create: () => startMyModel() });
 */
export function testBackend({ test, create, skip = [] }: BackendSuite): void {
  registerCases(cases, test, create, skip);
}
