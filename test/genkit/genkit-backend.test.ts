import { describe, expect, test } from 'vitest';
import { testBackend } from '../../src/testing/backend-suite.js';
import { geminiModel, inProcessModel } from '../support/genkit-models.js';

describe('the contract, on a model in this process', () => {
  testBackend({ test, create: inProcessModel });
});

describe('the contract, on a model that does not heed its signal', () => {
  const reason = 'the model itself cannot be stopped; that nothing more is told or called is tested below';
  testBackend({
    test,
    create: () => ({ ...inProcessModel({ heeds: false }) }),
    skip: [
    ].map((name) => ({ case: name, reason })),
  });
});

describe('the contract, on a model that does not stream', () => {
  testBackend({
    test,
    create: () => inProcessModel({ streams: false }),
    skip: [],
  });
});

describe('the contract, on Gemini’s plugin', () => {
  testBackend({ test, create: geminiModel, skip: [] });
});
