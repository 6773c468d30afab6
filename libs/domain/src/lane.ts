import type { FailureClass } from './failure.js';
import type { Random } from './random.js';

/**
 * What all workers agree on about one endpoint: how much may be in flight, whether its circuit lets anything through, how
 * far it is on its way to being disabled, and how far its rate is lowered. A row of `lanes`; changed by these pure
 * functions under its lock. Instants are Dates of the database's clock.
 */
export interface LaneState {
  /** How many attempts may be in flight. 1..WINDOW_MAX. Counts for nothing while the circuit is not closed. */
  readonly window: number;
  /** `unverified`: the endpoint has yet to prove that it wants deliveries. No outcome changes that; tests and the proof go through. */
  readonly circuit: 'closed' | 'open' | 'half_open' | 'unverified';
  /** How often the circuit opened without ten calm minutes in between: the exponent of the next open time. */
  readonly trips: number;
  /** Since when the circuit has not been closed; kept through failed probes. */
  readonly openedAt: Date | null;
  /** When a probe may be sent. */
  readonly openUntil: Date | null;
  readonly closedAt: Date | null;
  /** The one delivery that may be attempted while half open. */
  readonly probeId: string | null;
  readonly consecutiveFailures: number;
  /** Begin of the half minute that `sample` counts; `previousSample` is the one before. */
  readonly sampleAt: Date | null;
  readonly sample: LaneSample;
  readonly previousSample: LaneSample;
  /** The first failure that no success has followed. */
  readonly failingSince: Date | null;
  readonly failingAttempts: number;
  /** The last step towards disabling that was told. */
  readonly warnedPercent: 0 | WarningPercent;
  /** What a 429 lowered the rate to at `rateReducedAt`; `effectiveRateFactor` says what it is now. */
  readonly rateFactor: number;
  readonly rateReducedAt: Date | null;
}

export interface LaneSample {
  readonly attempts: number;
  readonly failures: number;
  readonly timeouts: number;
}

export type WarningPercent = 50 | 75 | 100;

/** One attempt's outcome. A failure that is not charged to the receiver never becomes one. */
export interface LaneSignal {
  readonly at: Date;
  readonly deliveryId: string;
  readonly kind: 'success' | 'failure';
  readonly failure: FailureClass | null;
  readonly retryAfterSeconds: number | null;
}

export interface LanePolicy {
  /** Disabled when nothing but failures came for that long and at least that often; null never. */
  readonly autoDisable: { readonly afterSeconds: number; readonly attemptsMin: number } | null;
  /** Whether a 429 lowers the endpoint's rate for a while. */
  readonly adaptiveRate: boolean;
}

/** What happened to the lane, for the timeline, operational events and metrics. */
export type LaneTransition =
  | { readonly kind: 'circuit_opened'; readonly reason: CircuitReason; readonly until: Date }
  | { readonly kind: 'circuit_half_opened'; readonly probeId: string }
  | { readonly kind: 'circuit_closed' }
  | { readonly kind: 'failing'; readonly percent: WarningPercent }
  | { readonly kind: 'disabled'; readonly reason: 'failing_too_long' | 'gone_410' | 'receiver_asked' }
  | { readonly kind: 'recovered' }
  | { readonly kind: 'verified'; readonly by: 'challenge' | 'cloudevents' }
  | { readonly kind: 'rate_lowered'; readonly factor: number };

export type CircuitReason = 'consecutive_failures' | 'failure_rate' | 'timeout_rate' | 'probe_failed';

export interface LaneStep {
  readonly state: LaneState;
  readonly transitions: LaneTransition[];
}

// Wide enough that an honest endpoint never meets it on its first burst, and a hanging one holds no more than a quarter
// of a process's 500 slots before its first time-out halves it.
export const INITIAL_WINDOW = 128;
export const WINDOW_MAX = 2000;

const NO_ATTEMPTS: LaneSample = { attempts: 0, failures: 0, timeouts: 0 };

/** A lane that nothing is known about. */
export function initialLane(): LaneState {
  return {
    window: INITIAL_WINDOW,
    circuit: 'closed',
    trips: 0,
    openedAt: null,
    openUntil: null,
    closedAt: null,
    probeId: null,
    consecutiveFailures: 0,
    sampleAt: null,
    sample: NO_ATTEMPTS,
    previousSample: NO_ATTEMPTS,
    failingSince: null,
    failingAttempts: 0,
    warnedPercent: 0,
    rateFactor: 1,
    rateReducedAt: null,
  };
}

/**
 * What one outcome makes of the lane. While the circuit is not closed only the probe's outcome moves it: attempts that
 * were under way when it opened say nothing new about the receiver.
 *
 * Whoever counts n successes of a closed lane without calling this (the fast path in SQL) has to do what n calls would:
 * window + n up to WINDOW_MAX, consecutiveFailures 0, n attempts in the sample; and may do so only while failingSince is
 * null, or reset it too and warnedPercent is 0. Leaving the sample out would make every failure look like all there was.
 */
export function observe(state: LaneState, signal: LaneSignal, policy: LanePolicy, random: Random): LaneStep {
  const step = signal.kind === 'success' ? succeeded(state, signal) : failed(state, signal, random);
  if (signal.kind === 'success') return step;
  const rate = lowerRate(step.state, signal, policy);
  const ending = towardsDisabling(rate.state, signal, policy);
  return {
    state: ending.state,
    transitions: [...step.transitions, ...rate.transitions, ...ending.transitions],
  };
}

function succeeded(state: LaneState, signal: LaneSignal): LaneStep {
  const transitions: LaneTransition[] = [];
  if (state.warnedPercent > 0) transitions.push({ kind: 'recovered' });
  const fine: LaneState = { ...state, failingSince: null, failingAttempts: 0, warnedPercent: 0 };
  if (state.circuit === 'closed') {
    const window = Math.min(WINDOW_MAX, state.window + 1);
    return { state: { ...sampled(fine, signal), window, consecutiveFailures: 0 }, transitions };
  }
  if (!isProbe(state, signal)) return { state: fine, transitions };
  // Slow start: the probe was the first round, of one; the next is of two, then four.
  return { state: closed(fine, signal.at, 2), transitions: [{ kind: 'circuit_closed' }, ...transitions] };
}

function failed(state: LaneState, signal: LaneSignal, random: Random): LaneStep {
  if (state.circuit === 'closed') {
    const window = Math.max(1, Math.floor(state.window / 2));
    const next: LaneState = {
      ...sampled(state, signal),
      window,
      consecutiveFailures: state.consecutiveFailures + 1,
    };
    const reason = reasonToOpen(next, signal.at);
    return reason === null ? { state: next, transitions: [] } : open(next, signal, reason, random);
  }
  return isProbe(state, signal) ? open(state, signal, 'probe_failed', random) : { state, transitions: [] };
}

function isProbe(state: LaneState, signal: LaneSignal): boolean {
  return state.circuit === 'half_open' && state.probeId === signal.deliveryId;
}

// Resilience notes 6. Five in a row is an outage for a quiet endpoint, 80 % of a minute for a busy one; at half time-outs
// the receiver is drowning, and each of those holds a slot of ours for its whole deadline.
const CONSECUTIVE_FAILURES_TO_OPEN = 5;
const SAMPLE_ATTEMPTS_MIN = 10;
const FAILURE_SHARE_TO_OPEN = 0.8;
const TIMEOUT_SHARE_TO_OPEN = 0.5;

function reasonToOpen(state: LaneState, at: Date): CircuitReason | null {
  if (state.consecutiveFailures >= CONSECUTIVE_FAILURES_TO_OPEN && !isOneBurst(state, at))
    return 'consecutive_failures';
  const attempts = state.sample.attempts + state.previousSample.attempts;
  if (attempts < SAMPLE_ATTEMPTS_MIN) return null;
  const failures = state.sample.failures + state.previousSample.failures;
  const timeouts = state.sample.timeouts + state.previousSample.timeouts;
  if (failures >= FAILURE_SHARE_TO_OPEN * attempts) return 'failure_rate';
  return timeouts >= TIMEOUT_SHARE_TO_OPEN * attempts ? 'timeout_rate' : null;
}

// A receiver that is only given too much at once refuses a round's surplus in one burst, and has answered just before: the
// window is 1 after it, which is the remedy. One that is down refuses what follows, too, and is shut a second later.
const BURST_MS = 1_000;

function isOneBurst({ failingSince, sample, previousSample }: LaneState, at: Date): boolean {
  const attempts = sample.attempts + previousSample.attempts;
  const failures = sample.failures + previousSample.failures;
  if (attempts < SAMPLE_ATTEMPTS_MIN || failures * 2 >= attempts) return false;
  return failingSince === null || at.getTime() - failingSince.getTime() < BURST_MS;
}

const SAMPLE_HALF_MS = 30_000;
const TIMEOUTS: ReadonlySet<FailureClass | null> = new Set<FailureClass>([
  'response_timeout',
  'header_timeout',
  'connect_timeout',
  'dns_timeout',
]);

/** Two half minutes instead of a list of instants: bounded, and never looks back further than a minute. */
function sampled(state: LaneState, { at, kind, failure }: LaneSignal): LaneState {
  const rotated = rotate(state, at);
  const { attempts, failures, timeouts } = rotated.sample;
  const failedOnce = kind === 'failure' ? 1 : 0;
  const sample = {
    attempts: attempts + 1,
    failures: failures + failedOnce,
    timeouts: timeouts + (failedOnce === 1 && TIMEOUTS.has(failure) ? 1 : 0),
  };
  return { ...rotated, sample };
}

function rotate(state: LaneState, at: Date): LaneState {
  const sinceMs = state.sampleAt === null ? Infinity : at.getTime() - state.sampleAt.getTime();
  // Also a clock that was set back: else the half minute would last until it has caught up.
  if (sinceMs >= 2 * SAMPLE_HALF_MS || sinceMs < -SAMPLE_HALF_MS)
    return { ...state, sampleAt: at, sample: NO_ATTEMPTS, previousSample: NO_ATTEMPTS };
  if (sinceMs < SAMPLE_HALF_MS) return state;
  const sampleAt = new Date(state.sampleAt!.getTime() + SAMPLE_HALF_MS);
  return { ...state, sampleAt, previousSample: state.sample, sample: NO_ATTEMPTS };
}

const OPEN_MIN_MS = 30_000;
// A receiver that comes back waits half an hour at most to be noticed.
export const OPEN_MAX_MS = 30 * 60_000;
// Closed that long, an outage is a new one and starts at 30 s again.
const CALM_MS = 10 * 60_000;
// Nothing changes after the sixth; the number is shown to people and stored.
const TRIPS_MAX = 1000;

function open(state: LaneState, signal: LaneSignal, reason: CircuitReason, random: Random): LaneStep {
  const atMs = signal.at.getTime();
  const calm =
    state.circuit === 'closed' && state.closedAt !== null && atMs - state.closedAt.getTime() >= CALM_MS;
  const trips = calm ? 0 : state.trips;
  const plannedMs = Math.min(OPEN_MAX_MS, OPEN_MIN_MS * 2 ** trips) * (0.75 + random.next() / 2);
  const askedMs = (signal.retryAfterSeconds ?? 0) * 1000;
  const until = new Date(atMs + Math.min(OPEN_MAX_MS, Math.max(plannedMs, askedMs)));
  return {
    state: {
      ...state,
      window: 1,
      circuit: 'open',
      trips: Math.min(trips + 1, TRIPS_MAX),
      openedAt: state.openedAt ?? signal.at,
      openUntil: until,
      probeId: null,
    },
    transitions: [{ kind: 'circuit_opened', reason, until }],
  };
}

function closed(state: LaneState, at: Date, window: number): LaneState {
  return {
    ...state,
    window,
    circuit: 'closed',
    openedAt: null,
    openUntil: null,
    closedAt: at,
    probeId: null,
    consecutiveFailures: 0,
    sampleAt: null,
    sample: NO_ATTEMPTS,
    previousSample: NO_ATTEMPTS,
  };
}

/** Whether the lane waits for somebody to send a probe. */
export function dueForProbe(state: LaneState, now: Date): boolean {
  if (state.circuit !== 'open' || state.openUntil === null) return false;
  const leftMs = state.openUntil.getTime() - now.getTime();
  // More than it was ever opened for: the clock was set back since.
  return leftMs <= 0 || leftMs > OPEN_MAX_MS;
}

/** Lets one delivery through. Only an open lane has a probe to give: under its row's lock there is never a second one. */
export function halfOpen(state: LaneState, probeId: string): LaneStep {
  if (state.circuit !== 'open')
    throw new Error(`Bug: a probe for a lane that is ${state.circuit}: ${probeId}`);
  return {
    state: { ...state, circuit: 'half_open', window: 1, probeId },
    transitions: [{ kind: 'circuit_half_opened', probeId }],
  };
}

/**
 * The probe will have no outcome that says anything about the receiver (cancelled, a fault of ours): another one may be
 * sent at once. Without this a half-open lane would wait for ever.
 */
export function probeLost(state: LaneState, at: Date): LaneState {
  return state.circuit === 'half_open' ? { ...state, circuit: 'open', openUntil: at, probeId: null } : state;
}

/**
 * Somebody has reason to think that it works again: another URL, a test that arrived, a resend by hand. The probe is sent
 * at once; should it fail, the circuit stays open no longer than it would have.
 */
export function probeSoon(state: LaneState, at: Date): LaneState {
  if (state.circuit !== 'open' || (state.openUntil !== null && state.openUntil <= at)) return state;
  return { ...state, openUntil: at, trips: Math.max(state.trips - 1, 0) };
}

/** For an endpoint that is enabled again: nothing held against it, but it starts slowly, its backlog is waiting. */
export function reset(state: LaneState, at: Date): LaneState {
  return closed({ ...state, ...initialLane() }, at, 1);
}

// The steps of which whoever owns the endpoint is told, of the way to being disabled.
const WARNING_PERCENTS: readonly WarningPercent[] = [50, 75, 100];

/** As far as the slower of its two conditions. Each step is told once, also when several are taken at once. */
function towardsDisabling(state: LaneState, { at }: LaneSignal, { autoDisable }: LanePolicy): LaneStep {
  const failingSince = state.failingSince ?? at;
  const failingAttempts = state.failingAttempts + 1;
  const counted: LaneState = { ...state, failingSince, failingAttempts };
  if (autoDisable === null) return { state: counted, transitions: [] };
  const elapsedSeconds = (at.getTime() - failingSince.getTime()) / 1000;
  const progress = Math.min(
    elapsedSeconds / autoDisable.afterSeconds,
    failingAttempts / autoDisable.attemptsMin,
  );
  const reached = WARNING_PERCENTS.filter(
    (percent) => percent > state.warnedPercent && progress * 100 >= percent,
  );
  const transitions: LaneTransition[] = reached.map((percent) => ({ kind: 'failing', percent }));
  // Said with every failure from then on: disabling is a step of its own, and whoever was to take it may have died.
  if (progress >= 1) transitions.push({ kind: 'disabled', reason: 'failing_too_long' });
  return { state: { ...counted, warnedPercent: reached.at(-1) ?? state.warnedPercent }, transitions };
}

const RATE_FACTOR_MIN = 1 / 64;
const RATE_INCREASE_PER_MINUTE = 0.1;
// The 429s of one burst are one piece of news.
const RATE_DECREASE_EVERY_MS = 1000;

/** Multiplicative decrease on a 429; the increase is a matter of time. */
function lowerRate(state: LaneState, { at, failure }: LaneSignal, { adaptiveRate }: LanePolicy): LaneStep {
  const unchanged = { state, transitions: [] };
  if (!adaptiveRate || failure !== 'rate_limited_429') return unchanged;
  const sinceMs = state.rateReducedAt === null ? Infinity : at.getTime() - state.rateReducedAt.getTime();
  if (Math.abs(sinceMs) < RATE_DECREASE_EVERY_MS) return unchanged;
  const factor = Math.max(RATE_FACTOR_MIN, effectiveRateFactor(state, at) / 2);
  return {
    state: { ...state, rateFactor: factor, rateReducedAt: at },
    transitions: [{ kind: 'rate_lowered', factor }],
  };
}

/** What the endpoint's rate limit is multiplied with now: 1 unless a 429 lowered it, a tenth more each minute since. */
export function effectiveRateFactor(
  state: Pick<LaneState, 'rateFactor' | 'rateReducedAt'>,
  at: Date,
): number {
  if (state.rateReducedAt === null) return 1;
  const minutes = Math.max(0, (at.getTime() - state.rateReducedAt.getTime()) / 60_000);
  return Math.min(1, state.rateFactor + RATE_INCREASE_PER_MINUTE * minutes);
}
