/** Options as those without types may give them. */
import { InvalidValueError } from '../errors.js';

/** Throws `InvalidValueError` unless the options are absent or an object, whatever is in it. */
export function assertOptions(options: unknown, name = 'options'): void {
  if (options !== undefined) assertObject(options, name);
}

/** Throws `InvalidValueError` unless it is an object, whatever is in it. */
export function assertObject(value: unknown, option: string): void {
  if (!isObject(value)) throw refused(option, 'an object', value);
}

/** Throws `InvalidValueError` unless the option is absent or an object that has these methods. */
export function assertHas(value: unknown, option: string, methods: readonly string[], expected: string): void {
  if (value === undefined) return;
  if (!isObject(value)) throw refused(option, expected, value);
  if (methods.every((name) => typeof Reflect.get(value, name) === 'function')) return;
  throw new InvalidValueError('option', [{ path: option, expected, received: 'an object without its methods' }]);
}

/** Throws `InvalidValueError` unless the option is absent or an `AbortSignal`, of whatever make. */
export function assertSignal(value: unknown, option: string): void {
  assertHas(value, option, ['addEventListener', 'removeEventListener'], 'an AbortSignal');
}

/** Throws `InvalidValueError` unless it is a function. */
export function assertFunction(value: unknown, option: string): void {
  if (typeof value !== 'function') throw refused(option, 'a function', value);
}

function refused(path: string, expected: string, value: unknown): InvalidValueError {
  return new InvalidValueError('option', [{ path, expected, received: value === null ? 'null' : typeof value }]);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
