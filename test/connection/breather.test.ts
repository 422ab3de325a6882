import { afterEach, describe, expect, it, vi } from 'vitest';
import { Breather } from '../../src/connection/breather.js';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a breather', () => {
  it('takes a break when it has gone on for long, and looks at the clock only after many steps', async () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    const breather = new Breather();
    clock.mockReturnValue(1_000_010);
    expect(breather.breath(127)).toBeUndefined();
    const end = breather.breath(1);
    expect(end).toBeInstanceOf(Promise);
    await end;
    expect(breather.breath(128)).toBeUndefined();
  });

  it('goes on taking them when the clock is set back', () => {
    const clock = vi.spyOn(Date, 'now').mockReturnValue(1_000_000);
    const breather = new Breather();
    clock.mockReturnValue(0);
    expect(breather.breath(128)).toBeInstanceOf(Promise);
  });
});
