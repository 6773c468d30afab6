/**
 * Promise: a circuit opens after five failures of its receiver, lets one probe through when its time has come, and closes into
 * a slow start; nothing that waits for it burns a try. Windows follow what the receiver takes. Counts stay exact.
 * Real: PostgreSQL, pg-boss, two pumps, HTTP. The loops are run by hand, and time passes by statement.
 */
import { STAFF } from '@app/contracts';
import { CountAttempts, LaneSignals, RecordOutcomes } from '@app/delivery';
import { initialLane, observe, systemRandom, type LaneSample, type LaneState } from '@app/domain';
import { createLogger, Metrics } from '@app/observability';
import { cancelRepository, laneStateRepository, recordRepository } from '@app/persistence';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Boundary, outcomeOf, type Customer } from './boundary-fixture.js';

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ workers: 2 });
});
afterAll(() => boundary.close());
afterEach(() => boundary.proveAll());

const send = pg.Client.prototype.query;

// Long enough that no retry comes by itself while a test looks.
const HOUR = {
  type: 'fixed',
  delaySeconds: 3600,
  jitter: 'none',
  attemptsMax: 20,
  ageMaxSeconds: 86_400,
  retryClientErrors: false,
};

const lanesOf = (n: number) => boundary.workers[n].lanes;
const timeToProbe = (customer: Customer) =>
  boundary.set('lanes', customer, { open_until: new Date(Date.now() - 1000) });
const until = <T>(ask: () => Promise<T> | T, wanted: (value: T) => boolean) => boundary.until(ask, wanted);
const untilCircuit = (customer: Customer, circuit: string) =>
  // oxlint-disable-next-line no-explicit-any
  until<any>(
    () => boundary.lane(customer),
    (lane) => lane.circuit === circuit,
  );

/** A lane whose receiver has just failed five times. */
async function openCircuit(status = 500, columns: Record<string, unknown> = {}): Promise<Customer> {
  const customer = await boundary.customer({ retry_policy: HOUR, ...columns });
  boundary.answering(customer, status);
  await boundary.publish(customer, 5);
  await untilCircuit(customer, 'open');
  await boundary.untilCounts(customer, { waiting: 5 });
  return customer;
}

it('that there is nothing to do is seen without a statement on deliveries, which would be planned for each day, every second', async () => {
  const texts: string[] = [];
  const query = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
    this: pg.Client,
    ...args
  ) {
    const [asked] = args as unknown as [string | { text: string }];
    texts.push(typeof asked === 'string' ? asked : asked.text);
    return send.apply(this, args as never);
  });
  await Promise.all([
    lanesOf(0).sendProbes(),
    lanesOf(0).cancelStopped(),
    lanesOf(0).promoteStalled(),
    lanesOf(0).sideline([]),
  ]);
  query.mockRestore();
  expect(texts.some((text) => text.includes('lanes'))).toBe(true);
  expect(texts.filter((text) => /\bdeliveries\b/.test(text))).toEqual([]);
});

describe('a circuit', () => {
  it('opens with the fifth failure in a row, and what is queued then is held without an attempt', async () => {
    const customer = await boundary.customer({ retry_policy: HOUR }, { window_size: 256, window_max: 256 });
    // Five fail while the others are still in the workers' hands, which take 64 each of one host, or in the queue.
    boundary.answering(customer, { status: 503, afterMs: 20 });
    await boundary.publish(customer, 240);
    await untilCircuit(customer, 'open');
    await until(
      () => boundary.counts(customer),
      (counts) => counts.queued === undefined,
    );

    const [opened] = await boundary.transitions(customer);
    expect(opened).toMatchObject({ kind: 'circuit_opened', detail: { reason: 'consecutive_failures' } });
    const lane = await boundary.lane(customer);
    expect(lane).toMatchObject({ circuit: 'open', trips: 1, window_size: 1, probe_id: null });
    const openMs = lane.open_until.getTime() - lane.opened_at.getTime();
    expect(openMs).toBeGreaterThanOrEqual(22_500);
    expect(openMs).toBeLessThanOrEqual(37_500);

    const { waiting = 0, held = 0, ...rest } = await boundary.counts(customer);
    expect({ rest, all: waiting + held }).toEqual({ rest: {}, all: 240 });
    expect(held).toBeGreaterThan(0);
    expect(await boundary.attempts(customer)).toHaveLength(waiting);
    const [{ burned }] = await boundary.database.query<{ burned: number }>(
      `SELECT count(*)::int AS burned FROM deliveries WHERE endpoint_id = $1 AND place = 'held' AND (tries > 0 OR attempts > 0)`,
      [customer.endpointId],
    );
    expect(burned).toBe(0);
    // What comes now is held at once.
    const [late] = await boundary.publish(customer);
    expect(await boundary.delivery(late)).toMatchObject({ place: 'held', tries: 0 });
  });

  it('gives exactly one probe, whoever looks, and its success closes it into a slow start', async () => {
    const customer = await openCircuit();
    await boundary.publish(customer, 20);
    expect(await lanesOf(0).sendProbes()).toBe(0);
    await timeToProbe(customer);
    const before = boundary.hitsOf(customer).length;
    boundary.answering(customer, null);
    const sent = await Promise.all([0, 1, 0, 1].map((n) => lanesOf(n).sendProbes()));
    expect(sent.reduce((sum, n) => sum + n)).toBe(1);
    const [probe] = await until(
      () => boundary.hitsOf(customer).slice(before),
      (hits) => hits.length > 0,
    );
    expect(await boundary.lane(customer)).toMatchObject({
      circuit: 'half_open',
      queued: 1,
      held: 19,
      waiting: 5,
    });
    for (const n of [0, 1]) expect(await lanesOf(n).sendProbes()).toBe(0);
    expect(await lanesOf(0).promoteStalled()).toBe(0);
    expect(boundary.hitsOf(customer)).toHaveLength(before + 1);

    boundary.answering(customer, 200);
    boundary.reply(probe, 200);
    await boundary.untilCounts(customer, { waiting: 5, delivered: 20 });
    const kinds = (await boundary.transitions(customer)).map(({ kind }) => kind);
    expect(kinds).toEqual(['circuit_opened', 'circuit_half_opened', 'circuit_closed']);
    // Two after the probe, then as many more as have succeeded.
    expect(await boundary.lane(customer)).toMatchObject({
      circuit: 'closed',
      window_size: 2 + 19,
      consecutive_failures: 0,
    });
  });

  it('starts slowly: two at once, then four, then eight', async () => {
    const customer = await openCircuit();
    await boundary.publish(customer, 40);
    await timeToProbe(customer);
    let underWay = 0;
    const most: number[] = [];
    boundary.answering(customer, (hit) => {
      underWay++;
      most.push(underWay);
      setTimeout(() => {
        underWay--;
        boundary.reply(hit, 200);
      }, 50);
      return null;
    });
    await lanesOf(0).sendProbes();
    await boundary.untilCounts(customer, { waiting: 5, delivered: 40 });
    // After n answers the window is n + 1: no request finds more under way than that.
    for (const [at, others] of most.entries()) expect(others).toBeLessThanOrEqual(Math.max(1, at + 1));
    expect(Math.max(...most)).toBeGreaterThan(3);
  });

  it('opens for longer when the probe fails', async () => {
    const customer = await openCircuit();
    await boundary.publish(customer, 3);
    for (const trips of [2, 3]) {
      await timeToProbe(customer);
      expect(await lanesOf(1).sendProbes()).toBe(1);
      await untilCircuit(customer, 'open');
      const lane = await boundary.lane(customer);
      expect(lane.trips).toBe(trips);
      const [row] = await boundary.database.query<{ left: number }>(
        'SELECT extract(epoch FROM open_until - now())::float8 AS left FROM lanes WHERE endpoint_id = $1',
        [customer.endpointId],
      );
      expect(row.left).toBeGreaterThan(30 * 2 ** (trips - 1) * 0.75 - 5);
      expect(row.left).toBeLessThanOrEqual(30 * 2 ** (trips - 1) * 1.25);
    }
    const reasons = (await boundary.transitions(customer))
      .filter(({ kind }) => kind === 'circuit_opened')
      .map(({ detail }) => detail.reason);
    expect(reasons).toEqual(['consecutive_failures', 'probe_failed', 'probe_failed']);
    // By turns the newest and the oldest: two different events were the probes.
    const probes = boundary.hitsOf(customer).slice(5);
    expect(new Set(probes.map(({ data }) => data.n)).size).toBe(2);
  });

  it.each([
    ['a fault of ours', 'internal'],
    ['a configuration that no request can be made of', 'config_invalid'],
  ])('is not opened by %s', async (_, failure) => {
    const customer = await boundary.customer(
      { retry_policy: HOUR, ...(failure === 'config_invalid' ? { url: 'http://10.1.2.3/' } : {}) },
      failure === 'internal' ? {} : {},
    );
    if (failure === 'internal')
      // Sealed with no key that this process has: no request can be made, and that is no receiver's fault.
      await boundary.set('endpoints', customer, { headers_sealed: Buffer.from('x') });
    await boundary.publish(customer, 8);
    await until(
      () => boundary.attempts(customer),
      (attempts) => attempts.length === 8,
    );
    await until(
      () => boundary.counts(customer),
      (counts) => counts.queued === undefined,
    );
    const lane = await boundary.lane(customer);
    expect(lane).toMatchObject({
      circuit: 'closed',
      consecutive_failures: 0,
      failing_since: null,
      window_size: 128,
    });
    expect(await boundary.transitions(customer)).toEqual([]);
    // So that the doctor has nothing to find.
    await boundary.set('endpoints', customer, { headers_sealed: null });
    expect(boundary.hitsOf(customer)).toEqual([]);
  });

  it('lets a test event through, whose success makes the next probe due at once', async () => {
    const customer = await openCircuit();
    await boundary.publish(customer, 2);
    const test = (): Promise<string[]> =>
      boundary.publish(customer, 1, { testOf: customer.endpointId, type: 'posthorn.test' });
    const [failing] = await test();
    await until(
      () => boundary.delivery(failing),
      (row: { status: string }) => row.status === 'failed',
    );
    expect(await boundary.lane(customer)).toMatchObject({ circuit: 'open', trips: 1 });
    expect(await lanesOf(0).sendProbes()).toBe(0);

    boundary.answering(customer, 200);
    const [working] = await test();
    await until(
      () => boundary.delivery(working),
      (row: { status: string }) => row.status === 'delivered',
    );
    await until(
      () => lanesOf(0).sendProbes(),
      (sent) => sent === 1,
    );
    await untilCircuit(customer, 'closed');
    await boundary.untilCounts(customer, { waiting: 5, failed: 1, delivered: 3 });
  });

  it('keeps an endpoint’s due retries out of the queue, and lets them go when it closes', async () => {
    const customer = await openCircuit();
    const due = await boundary.database.query<{ id: string }>(
      'SELECT id FROM deliveries WHERE endpoint_id = $1',
      [customer.endpointId],
    );
    // In the database's eyes only: no worker has come round to them.
    await boundary.database.query(
      `UPDATE deliveries SET due_at = now() - interval '1 second' WHERE id = ANY($1)`,
      [due.map(({ id }) => id)],
    );
    const moved = await Promise.all([lanesOf(0).sideline([]), lanesOf(1).sideline([])]);
    expect(moved.reduce((sum, n) => sum + n)).toBe(5);
    expect(await boundary.lane(customer)).toMatchObject({ held: 5, waiting: 0, queued: 0 });
    await boundary.proveAll();
    boundary.answering(customer, 200);
    await timeToProbe(customer);
    await lanesOf(0).sendProbes();
    await boundary.untilCounts(customer, { delivered: 5 });
    const tries = await boundary.database.query(
      'SELECT DISTINCT tries, attempts FROM deliveries WHERE endpoint_id = $1',
      [customer.endpointId],
    );
    expect(tries).toEqual([{ tries: 2, attempts: 2 }]);
  });

  it('of a saturated endpoint, the same', async () => {
    const customer = await boundary.customer({ retry_policy: HOUR });
    boundary.answering(customer, 500);
    await boundary.publish(customer, 3);
    await boundary.untilCounts(customer, { waiting: 3 });
    await boundary.database.query(
      `UPDATE deliveries SET due_at = now() - interval '1 second' WHERE endpoint_id = $1`,
      [customer.endpointId],
    );
    expect(await lanesOf(0).sideline([])).toBe(0);
    expect(await lanesOf(0).sideline([customer.endpointId])).toBe(3);
    boundary.answering(customer, 200);
    expect(await lanesOf(1).promoteStalled()).toBe(3);
    await boundary.untilCounts(customer, { delivered: 3 });
  });
});

describe('what waits', () => {
  it('becomes too old while it is held, without an attempt', async () => {
    const paused = await boundary.customer(
      { retry_policy: { ...HOUR, ageMaxSeconds: 60 } },
      { paused_at: new Date() },
    );
    const shut = await openCircuit();
    const [old, young] = await boundary.publish(paused, 2);
    const [held] = await boundary.publish(shut, 1);
    await boundary.database.query(
      `UPDATE deliveries SET run_at = now() - interval '61 seconds' WHERE id = $1`,
      [old],
    );
    await boundary.database.query(
      `UPDATE deliveries SET run_at = now() - interval '86401 seconds' WHERE id = $1`,
      [held],
    );
    const expired = await Promise.all([lanesOf(0).expireHeld(), lanesOf(1).expireHeld()]);
    expect(expired.reduce((sum, n) => sum + n)).toBe(2);
    for (const id of [old, held])
      expect(await boundary.delivery(id)).toMatchObject({
        status: 'failed',
        failure: 'expired',
        gave_up: 'too_old',
        attempts: 0,
      });
    expect(await boundary.delivery(young)).toMatchObject({ status: 'pending', place: 'held' });
    expect(await boundary.lane(paused)).toMatchObject({ held: 1 });
  });

  it('is counted anew when the counts are wrong', async () => {
    const customer = await boundary.customer({}, { paused_at: new Date() });
    await boundary.publish(customer, 3);
    await boundary.set('lanes', customer, { held: 9, queued: 4, waiting: 2 });
    expect(await lanesOf(0).reconcile()).toBe(1);
    expect(await boundary.lane(customer)).toMatchObject({ held: 3, queued: 0, waiting: 0 });
    expect(await lanesOf(1).reconcile()).toBe(0);
  });

  it.each([8, 1])(
    'serves what has just happened beside a backlog that is older than a minute, a window of %d',
    async (window) => {
      const columns = { paused_at: new Date(), window_size: window, window_max: window };
      const customer = await boundary.customer({}, columns);
      const old = await boundary.publish(customer, 120);
      await boundary.database.query(
        `UPDATE deliveries SET due_at = now() - interval '2 hours' WHERE id = ANY($1)`,
        [old],
      );
      await boundary.publish(customer, 40, { from: 1000 });
      boundary.answering(customer, { status: 200, afterMs: 5 });
      await boundary.set('lanes', customer, { paused_at: null });
      await lanesOf(0).promoteStalled();
      await boundary.untilCounts(customer, { delivered: 160 }, 25_000);
      const order = boundary.hitsOf(customer).map(({ data }) => data.n);
      // While both wait each gets half of the places, of one place by chance (five standard deviations of it); the old ones among themselves go oldest first.
      const lastFresh = order.findLastIndex((n) => n >= 1000);
      expect(lastFresh).toBeLessThan(2 * 40 + 45);
      if (window > 1) expect(order.slice(0, 16).filter((n) => n >= 1000).length).toBeGreaterThanOrEqual(4);
      const firstOld = order.filter((n) => n < 1000).slice(0, 20);
      expect(Math.max(...firstOld)).toBeLessThan(32);
    },
  );

  it('goes strictly oldest first while the backlog is younger than a minute', async () => {
    const customer = await boundary.customer({}, { paused_at: new Date(), window_size: 1, window_max: 1 });
    await boundary.publish(customer, 30);
    await boundary.set('lanes', customer, { paused_at: null });
    await lanesOf(0).promoteStalled();
    await boundary.untilCounts(customer, { delivered: 30 });
    expect(boundary.hitsOf(customer).map(({ data }) => data.n)).toEqual(
      Array.from({ length: 30 }, (_, n) => n),
    );
  });
});

describe('a window', () => {
  it('grows by one for each success, halves with a failure, and never beyond its maximum', async () => {
    const customer = await boundary.customer({ retry_policy: HOUR }, { window_size: 10, window_max: 40 });
    await boundary.publish(customer, 10);
    await boundary.untilCounts(customer, { delivered: 10 });
    expect(await boundary.lane(customer)).toMatchObject({ window_size: 20, sample_attempts: 10 });
    boundary.answering(customer, 500);
    await boundary.publish(customer, 1);
    await until(
      () => boundary.lane(customer),
      (lane: { window_size: number }) => lane.window_size === 10,
    );
    boundary.answering(customer, 200);
    await boundary.publish(customer, 50);
    await boundary.untilCounts(customer, { delivered: 60, waiting: 1 });
    expect(await boundary.lane(customer)).toMatchObject({ window_size: 40, consecutive_failures: 0 });
  });

  type Round = { successes: number; failures: number; afterSeconds: number };
  const round: fc.Arbitrary<Round> = fc.record({
    successes: fc.integer({ min: 1, max: 60 }),
    failures: fc.constantFrom(0, 0, 0, 1, 2),
    afterSeconds: fc.constantFrom(0, 1, 29, 31, 45, 59, 61, 200, -20, -45),
  });

  /**
   * What T2 writes for successes alone is what so many calls of `observe` would come to. Time passes by moving the row's
   * instants back; failures in between go the long way, so that the samples have something to forget.
   */
  it('in T2’s own arithmetic is what the rules make of the same outcomes', async () => {
    const customer = await boundary.customer();
    const { database } = boundary;
    const policy = { autoDisable: null, adaptiveRate: false };
    await fc.assert(
      fc.asyncProperty(
        fc.array(round, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 2000 }),
        fc.integer({ min: 1, max: 2000 }),
        async (rounds, window, windowMax) => {
          let model: LaneState = { ...initialLane(), window: Math.min(window, windowMax) };
          await database.transaction(async (tx) => {
            await laneStateRepository.lock(tx, [customer.endpointId]);
            await laneStateRepository.write(tx, [
              { endpointId: customer.endpointId, state: model, windowMax },
            ]);
            await tx.query('UPDATE lanes SET window_max = $2 WHERE endpoint_id = $1', [
              customer.endpointId,
              windowMax,
            ]);
          });
          for (const { successes, failures, afterSeconds } of rounds) {
            // One transaction has one now(): the model and the row see the same instant.
            await database.transaction(async (tx) => {
              await tx.query(
                `UPDATE lanes SET sample_at = sample_at - make_interval(secs => $2) WHERE endpoint_id = $1`,
                [customer.endpointId, afterSeconds],
              );
              const [{ now }] = await tx.query<{ now: Date }>('SELECT now()::timestamptz(3) AS now');
              const [before] = await laneStateRepository.lock(tx, [customer.endpointId]);
              model = { ...model, sampleAt: before.state.sampleAt };
              const signal = (kind: 'success' | 'failure') =>
                ({
                  at: now,
                  deliveryId: 'd',
                  kind,
                  failure: kind === 'failure' ? 'http_5xx' : null,
                  retryAfterSeconds: null,
                }) as const;
              const [room] = await recordRepository.settleLanes(tx, [
                {
                  endpointId: customer.endpointId,
                  queued: 0,
                  held: 0,
                  waiting: 0,
                  successes,
                  troubled: false,
                },
              ]);
              expect(room.attentive).toBe(false);
              for (let n = 0; n < successes; n++)
                model = observe(model, signal('success'), policy, systemRandom).state;
              model = { ...model, window: Math.min(model.window, windowMax) };
              expect(figures((await laneStateRepository.lock(tx, [customer.endpointId]))[0].state)).toEqual(
                figures(model),
              );
              for (let n = 0; n < failures; n++)
                model = observe(model, signal('failure'), policy, systemRandom).state;
              if (model.circuit !== 'closed') model = { ...initialLane(), window: 1 };
              if (failures > 0)
                await laneStateRepository.write(tx, [
                  { endpointId: customer.endpointId, state: model, windowMax },
                ]);
            });
          }
        },
      ),
      { numRuns: 60 },
    );
    await boundary.set('lanes', customer, { window_size: 128, window_max: 2000 });
  });
});

/** All that both ways change. */
function figures(state: LaneState): Record<string, number | LaneSample | null> {
  const { window, consecutiveFailures, failingAttempts, sample, previousSample } = state;
  const at = state.sampleAt === null ? null : Math.round(state.sampleAt.getTime() / 10);
  return { window, consecutiveFailures, failingAttempts, sample, previousSample, at };
}

describe('a probe that gets lost', () => {
  let still: Boundary;
  beforeAll(async () => {
    still = await Boundary.open({ workers: 2, still: true });
  });
  afterAll(() => still.close());

  /** A half-open lane whose probe's ticket nobody has claimed. */
  async function halfOpen(): Promise<{ customer: Customer; probe: string }> {
    const customer = await still.customer({ retry_policy: HOUR });
    await still.set('lanes', customer, {
      circuit: 'open',
      opened_at: new Date(),
      open_until: new Date(Date.now() - 1000),
      trips: 1,
      window_size: 1,
    });
    await still.publish(customer, 3);
    expect(await still.workers[0].lanes.sendProbes()).toBe(1);
    return { customer, probe: (await still.lane(customer)).probe_id };
  }
  const probes = (n = 1): Promise<number> => still.workers[n].lanes.sendProbes();

  it('because it was cancelled is followed by another at once', async () => {
    const { customer, probe } = await halfOpen();
    await still.database.transaction(async (tx) => {
      const locked = await cancelRepository.lock(tx, STAFF, probe);
      expect(await cancelRepository.withdraw(tx, probe)).toBe(true);
      await cancelRepository.cancel(tx, locked!);
    });
    expect(await probes()).toBe(1);
    const lane = await still.lane(customer);
    expect(lane).toMatchObject({ circuit: 'half_open', queued: 1, held: 1, trips: 1 });
    expect(lane.probe_id).not.toBe(probe);
    await still.proveAll();
  });

  it('because its worker died before its outcome was told is followed by another, but not at once', async () => {
    const { customer, probe } = await halfOpen();
    await recordUntold(probe);
    expect(await still.lane(customer)).toMatchObject({
      circuit: 'half_open',
      queued: 0,
      held: 2,
      waiting: 1,
    });
    // Whoever recorded it may be about to tell the lane.
    expect(await probes()).toBe(0);
    await still.database.query(
      `UPDATE deliveries SET updated_at = now() - interval '11 seconds' WHERE id = $1`,
      [probe],
    );
    expect(await probes()).toBe(1);
    expect((await still.lane(customer)).probe_id).not.toBe(probe);
    await still.proveAll();
  });

  it('is not lost while whoever recorded its success is about to tell the lane', async () => {
    const { customer, probe } = await halfOpen();
    const tell = await recordUntold(probe, 'delivered');
    expect(await probes(0)).toBe(0);
    await tell();
    expect(await still.lane(customer)).toMatchObject({ circuit: 'closed', window_size: 2, probe_id: null });
  });

  /** T2 of the probe, by a worker that dies before it tells the lane; answers what it would have told. */
  async function recordUntold(
    probe: string,
    how: 'failed' | 'delivered' = 'failed',
  ): Promise<() => Promise<void>> {
    const { queue } = still.workers[0];
    const ticket = (await queue.claim(100, [])).find(({ deliveryId }) => deliveryId === probe)!;
    const logger = createLogger({ level: 'silent', process: 'test' });
    const metrics = new Metrics();
    const signals = new LaneSignals(still.database, systemRandom, metrics, logger, { operational: false });
    let told: Parameters<LaneSignals['apply']>[0] = [];
    const dies = {
      apply: (said: typeof told) => {
        told = said;
        return Promise.reject(new Error('killed'));
      },
    };
    const counts = new CountAttempts(still.database);
    const recorder = new RecordOutcomes(
      still.database,
      queue,
      dies,
      counts,
      systemRandom,
      metrics,
      logger,
      () => undefined,
    );
    recorder.add(outcomeOf(await still.delivery(probe), ticket, how));
    await recorder.drain();
    return () => signals.apply(told);
  }

  it('because a pause held it is followed by another after the pause', async () => {
    const { customer, probe } = await halfOpen();
    await still.set('lanes', customer, { paused_at: new Date() });
    await still.workers[0].startPump();
    await until(
      () => still.delivery(probe),
      (row: { place: string }) => row.place === 'held',
    );
    expect(await probes()).toBe(0);
    expect(await still.lane(customer)).toMatchObject({ circuit: 'open', held: 3, queued: 0 });
    await still.set('lanes', customer, { paused_at: null });
    expect(await probes()).toBe(1);
    await until(
      () => still.lane(customer),
      (lane: { circuit: string }) => lane.circuit === 'closed',
    );
    await still.untilCounts(customer, { delivered: 3 });
    await still.proveAll();
  });
});
