import '../support/quiet-genkit.js';
import { describe, test } from 'vitest';
import { testBackend } from '../../src/testing/backend-suite.js';
import { geminiModel, inProcessModel } from '../support/genkit-models.js';

const because = (reason: string, ...names: string[]) => names.map((name) => ({ case: name, reason }));

const needStreaming = ['text arrives while the model is still speaking', 'a reader that leaves early ends the work'];

describe('the contract, on a model in this process', () => {
  testBackend({ test, create: inProcessModel });
});

describe('the contract, on a model that does not stream', () => {
  const skip = because('the model says nothing before it has said all', ...needStreaming);
  testBackend({ test, create: () => inProcessModel({ streams: false }), skip });
});

describe('the contract, on a model that does not heed its signal', () => {
  const skip = because(
    'nobody can stop the model; that nobody waits for it, and nothing follows it, is tested below',
    ...needStreaming,
    'a hanging model holds up its own session only',
    'a session that is terminated stops its work, and may be terminated again',
    'a turn that is cancelled ends within a second, as cancelled, and so does its work',
    'a session goes on after a turn that was cancelled',
    'a turn that is cancelled takes no other with it',
  );
  testBackend({ test, create: () => inProcessModel({ heeds: false }), skip });
});

describe('the contract, on Gemini’s plugin', () => {
  const skip = [
    ...because('the plugin says UNKNOWN of a 401', "a vendor's failure is told in full: authentication"),
    ...because(
      'the local server counts words itself; see below',
      'usage is what each turn used, whatever the vendor counts',
    ),
  ];
  testBackend({ test, create: geminiModel, skip });
});
