/** Frames of AWS's event stream (`application/vnd.amazon.eventstream`), written without AWS's own code. */
import { crc32 } from 'node:zlib';

/** One event of a stream. */
export function eventFrame(name: string, payload: unknown): Buffer {
  return frame({ ':message-type': 'event', ':event-type': name, ':content-type': 'application/json' }, payload);
}

/** An exception the service knows, which ends the stream. */
export function exceptionFrame(name: string, payload: unknown): Buffer {
  return frame({ ':message-type': 'exception', ':exception-type': name, ':content-type': 'application/json' }, payload);
}

/** An error without a model: only a code and a message. */
export function errorFrame(code: string, message: string): Buffer {
  return frame({ ':message-type': 'error', ':error-code': code, ':error-message': message }, undefined);
}

/** All bytes of a stream; each event is an object with one member, which names it. */
export function eventFrames(events: readonly Readonly<Record<string, unknown>>[]): Buffer {
  const frames = events.flatMap((event) => Object.entries(event).map(([name, payload]) => eventFrame(name, payload)));
  return Buffer.concat(frames);
}

function frame(headers: Readonly<Record<string, string>>, payload: unknown): Buffer {
  const head = Buffer.concat(Object.entries(headers).map(([name, value]) => header(name, value)));
  const body = payload === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(payload));
  const prelude = Buffer.alloc(8);
  prelude.writeUInt32BE(12 + head.length + body.length + 4, 0);
  prelude.writeUInt32BE(head.length, 4);
  const start = Buffer.concat([prelude, checksum(prelude), head, body]);
  return Buffer.concat([start, checksum(start)]);
}

/** A header whose value is a string (type 7). */
function header(name: string, value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([
    Buffer.from([Buffer.byteLength(name)]),
    Buffer.from(name),
    Buffer.from([7]),
    length,
    Buffer.from(value),
  ]);
}

function checksum(bytes: Buffer): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum;
}
