/** Where domain, stages and repositories get the time from, so that a test can own it. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

export interface ManualClock extends Clock {
  advance(ms: number): void;
  set(at: Date): void;
}

/** A clock that stands still until told: for tests, and for replaying a recorded run. */
export function manualClock(startAt: Date | string): ManualClock {
  let ms = new Date(startAt).getTime();
  if (Number.isNaN(ms)) throw new Error(`Bug: not an instant: ${String(startAt)}`);
  return {
    now: () => new Date(ms),
    advance(byMs) {
      ms += byMs;
    },
    set(at) {
      ms = at.getTime();
    },
  };
}
