import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FailureClass } from './failure.js';
import {
  dueForProbe,
  effectiveRateFactor,
  halfOpen,
  INITIAL_WINDOW,
  initialLane,
  observe,
  OPEN_MAX_MS,
  probeLost,
  probeSoon,
  reset,
  WINDOW_MAX,
} from './lane.js';
import type { LanePolicy, LaneSignal, LaneState, LaneTransition } from './lane.js';
import { seededRandom } from './random.js';
import type { Random } from './random.js';

const random = (value: number) => ({ next: () => value, bytes: (n: number) => new Uint8Array(n) });
const START = Date.parse('2026-11-22T00:00:00Z');
const at = (seconds: number) => new Date(START + seconds * 1000);
const secondsOf = (instant: Date | null) => (instant!.getTime() - START) / 1000;
const NEVER: LanePolicy = { autoDisable: null, adaptiveRate: false };

/** A lane with a hand on it: each step is kept, so that a test reads as a timeline. */
class Lane {
  readonly transitions: LaneTransition[] = [];
  constructor(
    readonly policy: LanePolicy = NEVER,
    public state: LaneState = initialLane(),
    private readonly luck: Random = random(0.5),
  ) {}

  take(step: { state: LaneState; transitions: LaneTransition[] }): LaneTransition[] {
    this.state = step.state;
    this.transitions.push(...step.transitions);
    return step.transitions;
  }
  signal(signal: LaneSignal): LaneTransition[] {
    return this.take(observe(this.state, signal, this.policy, this.luck));
  }
  succeed(seconds: number, deliveryId = 'some'): LaneTransition[] {
    const nothing = { failure: null, retryAfterSeconds: null };
    return this.signal({ at: at(seconds), deliveryId, kind: 'success', ...nothing });
  }
  fail(seconds: number, more: Partial<LaneSignal> = {}): LaneTransition[] {
    const failure: FailureClass = 'http_5xx';
    const base = { deliveryId: 'some', failure, retryAfterSeconds: null };
    return this.signal({ at: at(seconds), kind: 'failure', ...base, ...more });
  }
  fails(times: number, seconds: number, more: Partial<LaneSignal> = {}): LaneTransition[] {
    return Array.from({ length: times }, () => this.fail(seconds, more)).flat();
  }
  probe(seconds: number, id = 'probe'): void {
    if (!dueForProbe(this.state, at(seconds))) throw new Error(`no probe is due at ${seconds}`);
    this.take(halfOpen(this.state, id));
  }
}

describe('the window', () => {
  it('grows by the successes, so that a full round doubles it, up to its bound', () => {
    const lane = new Lane();
    for (let i = 0; i < INITIAL_WINDOW; i++) lane.succeed(0);
    expect(lane.state.window).toBe(2 * INITIAL_WINDOW);
    for (let i = 0; i < 3000; i++) lane.succeed(1);
    expect(lane.state.window).toBe(WINDOW_MAX);
    expect(lane.transitions).toEqual([]);
  });

  it('halves on a failure, never below one', () => {
    const lane = new Lane();
    const seen = [];
    for (let i = 0; i < 9; i++) {
      lane.fail(i * 70); // far apart: no sample, and a success between keeps the circuit closed
      seen.push(lane.state.window);
      lane.state = { ...lane.state, consecutiveFailures: 0 };
    }
    expect(seen).toEqual([64, 32, 16, 8, 4, 2, 1, 1, 1]);
  });
});

describe('the circuit', () => {
  it('opens with the fifth consecutive failure, not the fourth', () => {
    const lane = new Lane();
    expect(lane.fails(4, 0)).toEqual([]);
    expect(lane.fail(1)).toEqual([{ kind: 'circuit_opened', reason: 'consecutive_failures', until: at(31) }]);
    expect(lane.state).toMatchObject({ circuit: 'open', window: 1, trips: 1, openedAt: at(1) });
  });

  it('counts anew after a success', () => {
    const lane = new Lane();
    for (let i = 0; i < 10; i++) {
      lane.fails(4, i * 120);
      lane.succeed(i * 120);
    }
    expect(lane.state.circuit).toBe('closed');
  });

  it('takes a burst of refusals between successes for what was too much, not for an outage', () => {
    const lane = new Lane();
    for (let n = 0; n < 20; n++) lane.succeed(0.1 * n);
    for (let n = 0; n < 8; n++) lane.fail(2 + 0.05 * n);
    expect(lane.state).toMatchObject({ circuit: 'closed', window: 1, consecutiveFailures: 8 });
    expect(lane.fail(3)).toMatchObject([{ kind: 'circuit_opened', reason: 'consecutive_failures' }]);
  });

  it('opens at 80 % of ten within a minute, whatever their order', () => {
    const lane = new Lane();
    for (const time of [0, 20]) {
      lane.fails(4, time);
      lane.succeed(time + 10);
    }
    expect(lane.state.circuit).toBe('closed'); // eight of ten, but the last was a success
    expect(lane.fail(40)).toMatchObject([{ kind: 'circuit_opened', reason: 'failure_rate' }]);
  });

  it('forgets what is older than a minute', () => {
    const lane = new Lane();
    lane.fails(4, 0);
    lane.succeed(0);
    lane.fails(4, 61);
    lane.succeed(61);
    expect(lane.fail(62)).toEqual([]);
    // Also when the clock was set back for good.
    lane.state = { ...lane.state, sampleAt: at(9999) };
    lane.fail(63);
    expect(lane.state.sample).toEqual({ attempts: 1, failures: 1, timeouts: 0 });
    expect(lane.state.previousSample.attempts).toBe(0);
  });

  it.each(['response_timeout', 'header_timeout', 'connect_timeout', 'dns_timeout'] as const)(
    'opens when half of ten are %s',
    (failure) => {
      const lane = new Lane();
      for (let i = 0; i < 4; i++) {
        lane.succeed(i);
        expect(lane.fail(i, { failure })).toEqual([]);
      }
      lane.succeed(5);
      expect(lane.fail(5, { failure })).toMatchObject([{ reason: 'timeout_rate' }]);
    },
  );

  it('stays open twice as long after each failed probe, half an hour at most', () => {
    const lane = new Lane();
    lane.fails(5, 0);
    const waits = [];
    let now = 0;
    for (let i = 0; i < 9; i++) {
      waits.push(secondsOf(lane.state.openUntil) - now);
      now = secondsOf(lane.state.openUntil);
      lane.probe(now);
      expect(lane.fail(now, { deliveryId: 'probe' })).toMatchObject([{ reason: 'probe_failed' }]);
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
    // Since when it has not let anything through is not forgotten.
    expect(lane.state.openedAt).toEqual(at(0));
  });

  it('is never open for less than the receiver asked, nor for more than half an hour', () => {
    const lane = new Lane();
    lane.fails(5, 0, { retryAfterSeconds: 600 });
    expect(lane.state.openUntil).toEqual(at(600));
    const other = new Lane();
    other.fails(5, 0, { retryAfterSeconds: 86_400 });
    expect(other.state.openUntil).toEqual(at(OPEN_MAX_MS / 1000));
  });

  it('closes with its probe and starts slowly', () => {
    const lane = new Lane();
    lane.fails(5, 0);
    expect(dueForProbe(lane.state, at(29.9))).toBe(false);
    lane.probe(30);
    expect(lane.transitions.at(-1)).toEqual({ kind: 'circuit_half_opened', probeId: 'probe' });
    expect(lane.succeed(31, 'probe')).toEqual([{ kind: 'circuit_closed' }]);
    expect(lane.state).toMatchObject({ circuit: 'closed', window: 2, probeId: null, closedAt: at(31) });
    expect(lane.state.consecutiveFailures + lane.state.sample.attempts).toBe(0);
    const rounds = [];
    for (let round = 0; round < 4; round++) {
      for (let i = lane.state.window; i > 0; i--) lane.succeed(32);
      rounds.push(lane.state.window);
    }
    expect(rounds).toEqual([4, 8, 16, 32]);
  });

  it('is not moved by attempts that were under way', () => {
    const lane = new Lane({ ...NEVER, autoDisable: { afterSeconds: 1e6, attemptsMin: 1e6 } });
    lane.fails(5, 0);
    const open = lane.state;
    lane.fails(3, 1);
    expect(lane.state).toEqual({ ...open, failingAttempts: 8 });
    lane.succeed(2);
    expect(lane.state).toEqual({ ...open, failingAttempts: 0, failingSince: null });
    lane.probe(30);
    const half = lane.state;
    lane.succeed(31, 'straggler');
    lane.fail(31, { deliveryId: 'straggler' });
    expect(lane.state).toEqual({ ...half, failingAttempts: 1, failingSince: at(31) });
  });

  it('counts its trips anew after ten calm minutes', () => {
    const trips = (calmSeconds: number) => {
      const lane = new Lane();
      lane.fails(5, 0);
      lane.probe(30);
      lane.succeed(30, 'probe');
      lane.fails(5, 30 + calmSeconds);
      return lane.state.trips;
    };
    expect([trips(599), trips(600)]).toEqual([2, 1]);
    // An hour of failed probes is no calm, however long ago it was last closed.
    const lane = new Lane();
    lane.state = { ...lane.state, closedAt: at(-9999), circuit: 'half_open', probeId: 'p', trips: 4 };
    lane.fail(0, { deliveryId: 'p' });
    expect(lane.state.trips).toBe(5);
  });

  it('gives one probe at a time, and another when that one is lost', () => {
    const lane = new Lane();
    expect(() => halfOpen(lane.state, 'a')).toThrow('Bug');
    lane.fails(5, 0);
    lane.probe(30, 'a');
    expect(() => halfOpen(lane.state, 'b')).toThrow('Bug');
    expect(dueForProbe(lane.state, at(99999))).toBe(false);
    lane.state = probeLost(lane.state, at(40));
    expect(lane.state.trips).toBe(1);
    lane.probe(40, 'b');
    lane.succeed(41, 'a');
    expect(lane.state.circuit).toBe('half_open');
    // A clock that was set back by more than an open time ever lasts: nobody waits for it to catch up.
    lane.state = { ...probeLost(lane.state, at(50)), openUntil: at(99_999) };
    expect(dueForProbe(lane.state, at(50))).toBe(true);
    expect(probeLost(initialLane(), at(0))).toEqual(initialLane());
  });

  it('probes soon for a new URL, and is clean but slow when enabled again', () => {
    const lane = new Lane();
    lane.fails(5, 0);
    lane.state = probeSoon(lane.state, at(3));
    expect(dueForProbe(lane.state, at(3))).toBe(true);
    // Asked for twice it is one probe, which may fail without making the wait longer.
    expect(probeSoon(lane.state, at(9))).toBe(lane.state);
    expect(lane.state.trips).toBe(0);
    expect(probeSoon(initialLane(), at(9))).toEqual(initialLane());
    expect(reset(lane.state, at(9))).toEqual({ ...initialLane(), window: 1, closedAt: at(9) });
  });
});

describe('towards disabling', () => {
  const policy: LanePolicy = { autoDisable: { afterSeconds: 100, attemptsMin: 4 }, adaptiveRate: false };
  const told = (transitions: LaneTransition[]) =>
    transitions.flatMap((each): (number | string)[] =>
      each.kind === 'failing' ? [each.percent] : each.kind === 'disabled' ? ['disabled'] : [],
    );

  it('warns at 50, 75 and 100 % of the slower condition, each once, then says to disable until it is done', () => {
    const lane = new Lane(policy);
    const timeline = [0, 10, 49, 50, 60, 75, 99, 100, 101].map((time) => told(lane.fail(time)));
    expect(timeline).toEqual([[], [], [], [50], [], [75], [], [100, 'disabled'], ['disabled']]);
    const few = new Lane(policy);
    expect([0, 200, 201, 202, 203].map((time) => told(few.fail(time)))).toEqual([
      [],
      [50],
      [75],
      [100, 'disabled'],
      ['disabled'],
    ]);
  });

  it('tells every step, also when it takes them at once', () => {
    const lane = new Lane({ ...policy, autoDisable: { afterSeconds: 100, attemptsMin: 2 } });
    lane.fail(0);
    expect(told(lane.fail(500))).toEqual([50, 75, 100, 'disabled']);
  });

  it('begins anew with a success, which is told when the trouble was', () => {
    const lane = new Lane(policy);
    lane.fail(0);
    expect(lane.succeed(1)).toEqual([]);
    lane.fail(2);
    lane.fail(52);
    expect(lane.state.warnedPercent).toBe(50);
    expect(lane.succeed(60)).toEqual([{ kind: 'recovered' }]);
    expect(lane.state).toMatchObject({ failingSince: null, failingAttempts: 0, warnedPercent: 0 });
    expect([70, 119, 120].map((time) => told(lane.fail(time)))).toEqual([[], [], [50]]);
  });

  it('counts on while the circuit is open, and closes before it tells of the recovery', () => {
    const lane = new Lane(policy);
    lane.fails(5, 0);
    lane.probe(50);
    expect(lane.fail(50, { deliveryId: 'probe' }).map(({ kind }) => kind)).toEqual([
      'circuit_opened',
      'failing',
    ]);
    lane.probe(110);
    expect(lane.succeed(110, 'probe').map(({ kind }) => kind)).toEqual(['circuit_closed', 'recovered']);
  });

  it('never disables when it is not to', () => {
    const lane = new Lane(NEVER);
    lane.fails(100, 1e9);
    expect(told(lane.transitions)).toEqual([]);
    expect(lane.state.failingAttempts).toBe(100);
  });
});

describe('the adaptive rate', () => {
  const limited = { failure: 'rate_limited_429' } as const;

  it('halves on a 429, once a second, and comes back by a tenth each minute', () => {
    const lane = new Lane({ ...NEVER, adaptiveRate: true });
    expect(effectiveRateFactor(lane.state, at(0))).toBe(1);
    expect(lane.fail(0, limited)).toEqual([{ kind: 'rate_lowered', factor: 0.5 }]);
    expect(lane.fail(0.999, limited)).toEqual([]);
    expect(effectiveRateFactor(lane.state, at(120))).toBeCloseTo(0.7);
    expect(lane.fail(120, limited)).toMatchObject([{ kind: 'rate_lowered', factor: 0.35 }]);
    expect(effectiveRateFactor(lane.state, at(9999))).toBe(1);
    expect(effectiveRateFactor(lane.state, at(-9999))).toBeCloseTo(0.35);
  });

  it('goes no lower than a sixty-fourth', () => {
    const lane = new Lane({ ...NEVER, adaptiveRate: true });
    for (let i = 0; i < 50; i++) lane.fail(i, limited);
    expect(lane.state.rateFactor).toBe(1 / 64);
  });

  it('is left alone by other failures, and by endpoints that did not ask for it', () => {
    const other = new Lane({ ...NEVER, adaptiveRate: true });
    other.fail(0);
    const plain = new Lane();
    plain.fail(0, limited);
    expect([other.state.rateFactor, plain.state.rateFactor]).toEqual([1, 1]);
  });
});

it('any sequence of outcomes keeps to the bounds, and a receiver that comes back is found', () => {
  const policy: LanePolicy = { autoDisable: { afterSeconds: 3600, attemptsMin: 20 }, adaptiveRate: true };
  const failures: FailureClass[] = ['http_5xx', 'response_timeout', 'rate_limited_429', 'connect_refused'];
  const outcome = fc.record({
    waitSeconds: fc.oneof(fc.nat(5), fc.nat(4000), fc.integer({ min: -90, max: 0 })),
    failure: fc.option(fc.constantFrom(...failures), { freq: 3 }),
    retryAfterSeconds: fc.option(fc.nat(90_000)),
    probes: fc.boolean(),
    lost: fc.integer({ min: 0, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 200 }), fc.integer(), (outcomes, seed) => {
      const lane = new Lane(policy, initialLane(), seededRandom(seed));
      let now = 0;
      let [latest, probes] = [0, 0];
      for (const { waitSeconds, failure, retryAfterSeconds, probes: wanted, lost } of outcomes) {
        now += waitSeconds;
        latest = Math.max(latest, now);
        const before = lane.state;
        if (dueForProbe(before, at(now))) {
          lane.probe(now, `probe-${++probes}`);
          expect(() => halfOpen(lane.state, 'second')).toThrow('Bug');
          if (lost === 0) lane.state = probeLost(lane.state, at(now));
        }
        const deliveryId = wanted ? (lane.state.probeId ?? 'some') : 'some';
        const held = lane.state;
        const steps =
          failure === null
            ? lane.succeed(now, deliveryId)
            : lane.fail(now, { failure, retryAfterSeconds, deliveryId });
        check(held, lane.state, steps, now);
      }
      // It comes back: however deep the hole, one open time and one probe later it delivers.
      now = latest + OPEN_MAX_MS / 1000;
      if (lane.state.circuit === 'open') lane.probe(now, 'last');
      lane.succeed(now, lane.state.probeId ?? 'some');
      expect(lane.state).toMatchObject({ circuit: 'closed', failingSince: null, warnedPercent: 0 });
    }),
    { numRuns: 300 },
  );

  function check(before: LaneState, after: LaneState, steps: LaneTransition[], now: number): void {
    expect(after.window >= 1 && after.window <= WINDOW_MAX && Number.isInteger(after.window)).toBe(true);
    expect(after.probeId !== null).toBe(after.circuit === 'half_open');
    expect(after.openUntil !== null).toBe(after.circuit !== 'closed');
    expect(after.openedAt !== null).toBe(after.circuit !== 'closed');
    expect(after.consecutiveFailures).toBeLessThanOrEqual(5);
    expect(after.rateFactor >= 1 / 64 && after.rateFactor <= 1).toBe(true);
    for (const step of steps) {
      if (step.kind !== 'circuit_opened') continue;
      const openSeconds = secondsOf(step.until) - now;
      const planned = 30 * 2 ** (after.trips - 1);
      expect(openSeconds).toBeGreaterThanOrEqual(Math.min(1800, planned) * 0.75 - 0.001);
      expect(openSeconds).toBeLessThanOrEqual(1800);
      expect([1, before.trips + 1]).toContain(after.trips);
    }
    const kinds = steps.map(({ kind }) => kind);
    expect(kinds.includes('circuit_opened')).toBe(after.circuit === 'open' && before.circuit !== 'open');
    expect(kinds.includes('circuit_closed')).toBe(before.circuit !== 'closed' && after.circuit === 'closed');
  }
});

it('opens with the fifth of any run, wherever it begins', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(4), (successes, failures) => {
      const lane = new Lane();
      for (let i = 0; i < successes; i++) lane.succeed(i / 10);
      lane.fails(failures, 100);
      expect(lane.state.circuit).toBe('closed');
      lane.fails(5 - failures, 100);
      expect(lane.state.circuit).toBe('open');
    }),
  );
});

it('survives being written as JSON', () => {
  const lane = new Lane({ ...NEVER, adaptiveRate: true });
  lane.fails(5, 0, { failure: 'rate_limited_429' });
  const instants = /At$|Until$|Since$/;
  const read = JSON.parse(JSON.stringify(lane.state), (key, value: unknown) =>
    instants.test(key) && typeof value === 'string' ? new Date(value) : value,
  ) as LaneState;
  expect(read).toEqual(lane.state);
});
