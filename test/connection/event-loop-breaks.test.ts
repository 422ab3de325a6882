import { afterEach, describe, expect, it, vi } from 'vitest';
import { EventLoopBreaks } from '../../src/connection/event-loop-breaks.js';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('breaks of the event loop', () => {
  it('are taken after a long time, and the clock is looked at only after many steps', async () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    const breaks = new EventLoopBreaks();
    clock.mockReturnValue(1_000_010);
    expect(breaks.after(127)).toBeUndefined();
    const end = breaks.after(1);
    expect(end).toBeInstanceOf(Promise);
    await end;
    expect(breaks.after(128)).toBeUndefined();
  });

  it('are taken when the clock is set back', () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    const breaks = new EventLoopBreaks();
    clock.mockReturnValue(0);
    expect(breaks.after(128)).toBeInstanceOf(Promise);
  });
});
