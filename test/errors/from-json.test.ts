import { describe, expect, test } from 'vitest';
import { errorFromJson } from '../../src/errors/from-json.js';
import {
  AgentFlowError,
  InvalidValueError,
  LeaseLostError,
  SessionConflictError,
  StoredStateError,
} from '../../src/errors.js';

const issues = [{ path: 'a', expected: 'b', received: 'c' }];

describe('an error that has crossed the wire', () => {
  test.each([
    new AgentFlowError('RUN_ABORTED', 'enough'),
    new AgentFlowError('HANDLER_FAILED', 'not yours', { status: 'PERMISSION_DENIED', details: { which: [1] } }),
    new InvalidValueError('state', issues),
    new InvalidValueError('chunk', issues, { details: { kind: 'chunk', issues, more: 1 } }),
    new StoredStateError('session', issues),
    new SessionConflictError('session', 3, 4),
    new LeaseLostError('session'),
    new LeaseLostError('session', 'in other words'),
  ])('is the same error: %s', (error) => {
    const again = errorFromJson(JSON.parse(JSON.stringify(error)), 'session');
    expect(again).toBeInstanceOf(error.constructor);
    expect({ ...again, message: again.message }).toEqual({ ...error, message: error.message });
    expect(again.cause).toBeUndefined();
  });

  test.each([
    [{ code: 'OF_A_LATER_VERSION', message: 'new', details: 1 }, 'new', 1],
    [{ code: 'toString', message: 'odd' }, 'odd', undefined],
    [{ code: 7 }, 'An error that cannot be read', undefined],
    [null, 'An error that cannot be read', undefined],
  ])('is a failure of the handler when it cannot be known: %j', (json, message, details) => {
    expect(errorFromJson(json, 'session')).toMatchObject({ code: 'HANDLER_FAILED', message, details });
  });
});
