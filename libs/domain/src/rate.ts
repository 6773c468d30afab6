import { WINDOW_MAX } from './lane.js';
import type { FieldProblem } from './retry-policy.js';

export const RATE_ALGORITHMS = ['token_bucket', 'leaky_bucket', 'fixed_window', 'sliding_window'] as const;
export type RateAlgorithm = (typeof RATE_ALGORITHMS)[number];

/** At most `limit` in `per` seconds, in the way that the algorithm counts. */
export interface RateLimit {
  /**
   * `token_bucket`: up to `burst` at once, then evenly spaced: at most limit + burst in any `per`.
   * `leaky_bucket`: evenly spaced, no burst: at most limit in any `per`.
   * `fixed_window`: limit in each `per` of the clock, so up to twice as many around an edge.
   * `sliding_window`: at most limit in any `per`.
   */
  readonly algorithm: RateAlgorithm;
  readonly limit: number;
  /** Seconds. */
  readonly per: number;
  /** Of a token bucket; its limit when absent. */
  readonly burst?: number;
  /** Whether a 429 lowers the rate for a while. */
  readonly adaptive?: boolean;
}

/**
 * What is kept of the slots given out, as plain JSON in one row per endpoint. Milliseconds on the database's clock. The
 * two buckets share a form, so a change between them goes on; a change of any other kind starts afresh.
 */
export type RateState =
  /** The last slot is at `at` + `fraction`; `tokens` were left behind it. */
  | { readonly kind: 'bucket'; readonly at: number; readonly fraction: number; readonly tokens: number }
  /** The last window that slots were given in, and how many. */
  | { readonly kind: 'fixed'; readonly at: number; readonly used: number }
  /** Slots as [instant, how many], ascending. Neighbours are counted as one, at the later's instant. */
  | { readonly kind: 'sliding'; readonly grants: readonly (readonly [number, number])[] };

export interface TakenSlots {
  /** Milliseconds from now, ascending, 0 is at once. Fractions matter: a timer that rounds must round up. */
  readonly slots: number[];
  readonly state: RateState;
  /** When the next slot would come, from now; not taken, and may lie beyond the horizon. */
  readonly nextInMs: number;
}

// Nobody reserves further ahead. A state that says otherwise was written before the clock was set back: obeying it would
// stop an endpoint for as long.
export const RATE_HORIZON_MAX_MS = 300_000;

/**
 * Takes up to `n` slots, none later than the horizon. What is not given changes nothing: whoever got less asks again. Slots
 * never come before one that was given earlier, whatever happened to limit and factor in between.
 */
export function takeSlots(
  limit: RateLimit,
  state: RateState | null,
  nowMs: number,
  n: number,
  horizonMs: number,
  factor = 1,
): TakenSlots {
  const meter = meterOf(limit, state, nowMs, factor);
  const untilMs = Math.min(horizonMs, RATE_HORIZON_MAX_MS);
  const slots: number[] = [];
  let nextInMs = meter.nextInMs();
  while (slots.length < n && nextInMs <= untilMs) {
    slots.push(nextInMs);
    meter.take();
    nextInMs = meter.nextInMs();
  }
  return { slots, state: meter.state(), nextInMs };
}

/** One algorithm at work on one state: looks, takes what it looked at, and says what is to be kept. */
interface Meter {
  nextInMs(): number;
  take(): void;
  state(): RateState;
}

function meterOf(limit: RateLimit, state: RateState | null, nowMs: number, factor: number): Meter {
  const perMs = limit.per * 1000;
  switch (limit.algorithm) {
    case 'token_bucket': {
      const tokensMax = Math.max(1, (limit.burst ?? limit.limit) * factor);
      return bucket(state, nowMs, (limit.limit * factor) / perMs, tokensMax);
    }
    case 'leaky_bucket':
      return bucket(state, nowMs, (limit.limit * factor) / perMs, 1);
    case 'fixed_window':
      return fixedWindow(state, nowMs, perMs, slotsMax(limit, factor));
    case 'sliding_window':
      return slidingWindow(state, nowMs, perMs, slotsMax(limit, factor));
  }
}

function slotsMax(limit: RateLimit, factor: number): number {
  return Math.max(1, Math.floor(limit.limit * factor));
}

/**
 * GCRA, kept as tokens behind the last slot instead of as its theoretical arrival time, so that a rate which changes
 * (a 429, a customer) holds from then on and gives no burst of its own.
 *
 * Times are reckoned from the last slot's whole millisecond: since 1970 a double has a resolution of 0.0002 ms, which at
 * 100,000 a second is two in a hundred.
 */
function bucket(state: RateState | null, nowMs: number, perMsRate: number, tokensMax: number): Meter {
  const known = state?.kind === 'bucket' && state.at <= nowMs + RATE_HORIZON_MAX_MS ? state : null;
  const base = known?.at ?? Math.floor(nowMs);
  const now = nowMs - base;
  let last = known?.fraction ?? now;
  let tokens = Math.min(known?.tokens ?? tokensMax, tokensMax);
  const next = (): number => Math.max(now, last, last + (1 - tokens) / perMsRate);
  return {
    nextInMs: () => next() - now,
    take() {
      const slot = next();
      tokens = Math.max(0, Math.min(tokensMax, tokens + (slot - last) * perMsRate) - 1);
      last = slot;
    },
    state() {
      const whole = Math.floor(last);
      return { kind: 'bucket', at: base + whole, fraction: last - whole, tokens };
    },
  };
}

function fixedWindow(state: RateState | null, nowMs: number, perMs: number, max: number): Meter {
  const known = state?.kind === 'fixed' && state.at <= nowMs + RATE_HORIZON_MAX_MS ? state : null;
  const current = Math.floor(nowMs / perMs) * perMs;
  let at = current;
  let used = 0;
  // A window that was begun under another `per` is not aligned; it still holds what was given in it.
  if (known !== null && known.at >= current) ({ at, used } = known);
  const next = (): number => (used < max ? at : (Math.floor(at / perMs) + 1) * perMs);
  return {
    nextInMs: () => Math.max(0, next() - nowMs),
    take() {
      const window = next();
      used = window === at ? used + 1 : 1;
      at = window;
    },
    state: () => ({ kind: 'fixed', at, used }),
  };
}

// Neighbours within a sixtieth of `per` are counted as one. The state is bounded by it; the price is that a full lane may
// wait up to 1.7 % longer. A limit of no more slots than that is counted one by one, exactly.
const PARTS = 60;

/**
 * A log of the slots of the last `per`, with neighbours merged at the later's instant: each is forgotten late, never
 * early, so no window holds more than the limit. (The usual weighting of two fixed windows is smaller, and lets more
 * through when the slots of the window before came late in it.)
 */
function slidingWindow(state: RateState | null, nowMs: number, perMs: number, max: number): Meter {
  const known = state?.kind === 'sliding' ? state.grants : [];
  const trusted = (known.at(-1)?.[0] ?? 0) <= nowMs + RATE_HORIZON_MAX_MS;
  const grants = trusted ? known.filter(([at]) => at > nowMs - perMs).map(([at, n]) => ({ at, n })) : [];
  const partMs = perMs / PARTS;
  let held = grants.reduce((sum, { n }) => sum + n, 0);
  const next = (): number => {
    let at = Math.max(nowMs, grants.at(-1)?.at ?? 0);
    let still = held;
    // The oldest have to leave until there is room.
    for (const grant of grants) {
      if (grant.at > at - perMs && still < max) break;
      at = Math.max(at, grant.at + perMs);
      still -= grant.n;
    }
    return at;
  };
  return {
    nextInMs: () => next() - nowMs,
    take() {
      const at = next();
      while (grants.length > 0 && grants[0].at + perMs <= at) held -= grants.shift()!.n;
      const last = grants.at(-1);
      const near = last !== undefined && Math.floor(last.at / partMs) === Math.floor(at / partMs);
      if (near && (max > PARTS || last.at === at)) {
        last.at = at;
        last.n++;
      } else grants.push({ at, n: 1 });
      held++;
    },
    state: () => ({ kind: 'sliding', grants: grants.map(({ at, n }): [number, number] => [at, n]) }),
  };
}

export const RATE_LIMIT_MAX = 100_000;
export const RATE_PER_MAX_SECONDS = 86_400;

/** What is wrong with a limit that a customer wrote. Empty: it is a `RateLimit`. */
export function rateLimitProblems(value: unknown): FieldProblem[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [{ pointer: '', detail: 'must be an object' }];
  }
  const { algorithm, limit, per, burst, adaptive, ...others } = value as Record<string, unknown>;
  const problems: FieldProblem[] = [];
  const wrong = (field: string, detail: string): void => void problems.push({ pointer: `/${field}`, detail });
  if (!RATE_ALGORITHMS.some((each) => each === algorithm))
    wrong('algorithm', `must be one of ${RATE_ALGORITHMS.join(', ')}`);
  if (!isWhole(limit, RATE_LIMIT_MAX)) wrong('limit', `must be a whole number from 1 to ${RATE_LIMIT_MAX}`);
  if (!isWhole(per, RATE_PER_MAX_SECONDS))
    wrong('per', `must be a whole number of seconds from 1 to ${RATE_PER_MAX_SECONDS}`);
  if (burst !== undefined && algorithm !== 'token_bucket') wrong('burst', 'belongs to a token_bucket');
  else if (burst !== undefined && !isWhole(burst, RATE_LIMIT_MAX))
    wrong('burst', `must be a whole number from 1 to ${RATE_LIMIT_MAX}`);
  if (adaptive !== undefined && typeof adaptive !== 'boolean') wrong('adaptive', 'must be true or false');
  // Refused, not ignored: a misspelt `brust` would otherwise quietly mean the default.
  for (const name of Object.keys(others).slice(0, 10)) {
    wrong(name.slice(0, 64).replaceAll('~', '~0').replaceAll('/', '~1'), 'is not a field of a rate limit');
  }
  return problems;
}

function isWhole(value: unknown, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max;
}

// A limited endpoint needs no more places than it can send in that time; what is above would only stand in the queue.
const WINDOW_SECONDS = 2;

/** The most places that the lane of an endpoint with this limit gives out. */
export function windowForRate(limit: RateLimit | null): number {
  if (limit === null) return WINDOW_MAX;
  const burst = limit.algorithm === 'token_bucket' ? (limit.burst ?? limit.limit) : 0;
  const places = Math.ceil((limit.limit / limit.per) * WINDOW_SECONDS) + burst;
  return Math.min(Math.max(places, 1), WINDOW_MAX);
}
