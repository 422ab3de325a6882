/** Options as those without types may give them. */
import { InvalidValueError } from '../errors.js';

/** Throws `InvalidValueError` unless the options are absent or an object, whatever is in it. */
export function assertOptions(options: unknown, name = 'options'): void {
  if (options === undefined || isObject(options)) return;
  const received = options === null ? 'null' : typeof options;
  throw new InvalidValueError('option', [{ path: name, expected: 'an object', received }]);
}

/** Throws `InvalidValueError` unless the option is absent or an object that has these methods. */
export function assertHas(value: unknown, option: string, methods: readonly string[], expected: string): void {
  if (
    value === undefined ||
    (isObject(value) && methods.every((name) => typeof Reflect.get(value, name) === 'function'))
  )
    return;
  const received = isObject(value) ? 'an object without its methods' : String(value === null ? value : typeof value);
  throw new InvalidValueError('option', [{ path: option, expected, received }]);
}

/** Throws `InvalidValueError` unless the option is absent or an `AbortSignal`, of whatever make. */
export function assertSignal(value: unknown, option: string): void {
  assertHas(value, option, ['addEventListener', 'removeEventListener'], 'an AbortSignal');
}

/** Throws `InvalidValueError` unless the option is absent or a function. */
export function assertFunction(value: unknown, option: string): void {
  if (value === undefined || typeof value === 'function') return;
  const received = value === null ? 'null' : typeof value;
  throw new InvalidValueError('option', [{ path: option, expected: 'a function', received }]);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
