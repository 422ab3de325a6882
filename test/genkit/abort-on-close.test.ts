import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { abortOnClose, abortSignalOf } from '../../src/index.js';

const response = (writableFinished: boolean) => Object.assign(new EventEmitter(), { writableFinished });

describe('a client that goes away', () => {
  test('before it has the response fires the signal', () => {
    const leaving = response(false);
    const signal = abortSignalOf(leaving);
    expect(signal.aborted).toBe(false);
    leaving.emit('close');
    expect(signal).toMatchObject({ aborted: true, reason: 'the client closed the connection' });
  });

  test('after it does not', () => {
    const done = response(true);
    const signal = abortSignalOf(done);
    done.emit('close');
    expect(signal.aborted).toBe(false);
  });

  test('is told to whoever waits for the request to close, once the handler has been let to work', () => {
    const request = new EventEmitter();
    const leaving = response(false);
    const heard: string[] = [];
    abortOnClose(request, leaving, () => heard.push('next'));
    request.on('close', () => heard.push('close'));
    leaving.emit('close');
    expect(heard).toEqual(['next', 'close']);
  });
});
