/** The queue by itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Mail, Mailbox } from '../../src/host/mailbox.js';

const mail = (order: number): Mail => ({ ref: `r${order}`, order, bytes: 1 });

describe('the mailbox', () => {
  it('does what a list does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant('push' as const), fc.constant('shift' as const), fc.nat(30))),
        (steps) => {
          const box = new Mailbox();
          let list: Mail[] = [];
          let order = 0;
          for (const step of steps) {
            if (step === 'push') {
              order += 1;
              box.push(mail(order));
              list.push(mail(order));
            } else if (step === 'shift') expect(box.shift()).toEqual(list.shift());
            else {
              expect(box.remove(`r${step}`)).toEqual(list.find((one) => one.order === step));
              list = list.filter((one) => one.order !== step);
            }
            expect([box.size, box.bytes, box.items(), box.peek()]).toEqual([list.length, list.length, list, list[0]]);
          }
        },
      ),
    );
  });

  it('keeps its order over 100,000 items with some taken from the middle', () => {
    const box = new Mailbox();
    for (let order = 0; order < 100_000; order++) box.push(mail(order));
    for (let order = 0; order < 100_000; order += 3) box.remove(`r${order}`);
    let last = -1;
    let taken = 0;
    for (let item = box.shift(); item !== undefined; item = box.shift()) {
      expect(item.order > last && item.order % 3 !== 0).toBe(true);
      last = item.order;
      taken += 1;
    }
    expect(taken).toBe(66_666);
  });

  it('closes up what was taken from its middle, however little was taken from its front', () => {
    const box = new Mailbox();
    for (let order = 0; order < 5_000; order++) {
      box.push(mail(order));
      if (order % 1_000 !== 0) box.remove(`r${order}`);
    }
    expect(box.items().map(({ order }) => order)).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    expect(box.remove('r3000')).toEqual(mail(3_000));
    expect([box.shift(), box.shift(), box.get('r4000')]).toEqual([mail(0), mail(1_000), mail(4_000)]);
  });

  it('is used again after it was cleared', () => {
    const box = new Mailbox();
    box.push(mail(1));
    expect(box.clear()).toEqual([mail(1)]);
    box.push(mail(2));
    expect(box.shift()).toEqual(mail(2));
  });
});
