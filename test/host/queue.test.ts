/** The queue by itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Queue, type QueueItem } from '../../src/host/queue.js';

const mail = (order: number): QueueItem => ({ ref: `r${order}`, order, bytes: 1 });

describe('the queue', () => {
  it('does what a list does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant('push' as const), fc.constant('shift' as const), fc.nat(30))),
        (steps) => {
          const queue = new Queue();
          let list: QueueItem[] = [];
          let order = 0;
          for (const step of steps) {
            if (step === 'push') {
              order += 1;
              queue.push(mail(order));
              list.push(mail(order));
            } else if (step === 'shift') expect(queue.shift()).toEqual(list.shift());
            else {
              expect(queue.remove(`r${step}`)).toEqual(list.find((one) => one.order === step));
              list = list.filter((one) => one.order !== step);
            }
            expect([queue.size, queue.bytes, queue.items(), queue.peek()]).toEqual([
              list.length,
              list.length,
              list,
              list[0],
            ]);
          }
        },
      ),
    );
  });

  it('keeps its order over 100,000 items with some taken from the middle', () => {
    const queue = new Queue();
    for (let order = 0; order < 100_000; order++) queue.push(mail(order));
    for (let order = 0; order < 100_000; order += 3) queue.remove(`r${order}`);
    let last = -1;
    let taken = 0;
    let astray = 0;
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      if (item.order <= last || item.order % 3 === 0) astray += 1;
      last = item.order;
      taken += 1;
    }
    expect([taken, astray]).toEqual([66_666, 0]);
  });

  it('closes up what was taken from its middle, however little was taken from its front', () => {
    const queue = new Queue();
    for (let order = 0; order < 5_000; order++) {
      queue.push(mail(order));
      if (order % 1_000 !== 0) queue.remove(`r${order}`);
    }
    expect(queue.items().map(({ order }) => order)).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    expect(queue.remove('r3000')).toEqual(mail(3_000));
    expect([queue.shift(), queue.shift(), queue.get('r4000')]).toEqual([mail(0), mail(1_000), mail(4_000)]);
  });

  it('is used again after it was cleared', () => {
    const queue = new Queue();
    queue.push(mail(1));
    expect(queue.clear()).toEqual([mail(1)]);
    queue.push(mail(2));
    expect(queue.shift()).toEqual(mail(2));
  });
});
