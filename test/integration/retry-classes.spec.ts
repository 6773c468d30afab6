/**
 * Promise: what is tried again, when, and what is not: by the endpoint's policy over its event type's over the default, by what
 * the receiver says, within its budget, critical events first.
 * Real: PostgreSQL, pg-boss, a pump, HTTP.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Boundary, type Answer } from './boundary-fixture.js';

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open();
});
afterAll(() => boundary.close());
afterEach(() => boundary.proveAll());

const BOUNDS = { jitter: 'none', attemptsMax: 5, ageMaxSeconds: 86_400, retryClientErrors: false };
const fixed = (delaySeconds: number, more: object = {}) => ({
  type: 'fixed',
  delaySeconds,
  ...BOUNDS,
  ...more,
});

interface Row {
  attempts: number;
  place: string | null;
  due_at: Date | null;
  updated_at: Date;
  due_because: string | null;
}

/** One event, answered so once, with what became of it. */
async function once(
  answer: Answer | ((hit: unknown) => Answer),
  columns: Record<string, unknown> = {},
  count = 1,
) {
  const customer = await boundary.customer(columns);
  boundary.answering(customer, answer);
  const [id] = await boundary.publish(customer, count);
  const delivery = await boundary.until(
    () => boundary.delivery(id),
    (row: Row) => row.attempts > 0 && row.place !== 'queued',
  );
  return { customer, id, delivery, inSeconds: secondsUntilDue(delivery) };
}
function secondsUntilDue({ due_at, updated_at }: { due_at: Date | null; updated_at: Date }): number {
  return due_at === null ? NaN : (due_at.getTime() - updated_at.getTime()) / 1000;
}

describe('when it is tried again', () => {
  it('is for the endpoint’s policy to say, else for its event type’s, else for the default', async () => {
    const typed = {
      status: 'pending',
      place: 'waiting',
      tries: 1,
      due_because: 'retry_schedule',
      failure: 'http_5xx',
    };
    const own = await once(500, { retry_policy: fixed(77) });
    expect(own.delivery).toMatchObject(typed);
    expect(own.inSeconds).toBe(77);

    await boundary.database.query(`UPDATE event_types SET retry_policy = $1 WHERE name = 'thing.happened'`, [
      JSON.stringify(fixed(55)),
    ]);
    expect((await once(500)).inSeconds).toBe(55);
    expect((await once(500, { retry_policy: fixed(77) })).inSeconds).toBe(77);
    await boundary.database.query(`UPDATE event_types SET retry_policy = NULL`);
    const byDefault = await once(500);
    // 5 s, half to one and a half of it.
    expect(byDefault.inSeconds).toBeGreaterThanOrEqual(2.5);
    expect(byDefault.inSeconds).toBeLessThanOrEqual(7.5);
  });

  it('is never before a Retry-After, and garbage in it is ignored', async () => {
    const retry_policy = fixed(10);
    const answer = (value: string): Answer => ({ status: 503, headers: { 'retry-after': value } });
    const asked = await once(answer('120'), { retry_policy });
    expect(asked.delivery.due_because).toBe('retry_after');
    expect(asked.inSeconds).toBe(120);
    const dated = await once(answer(new Date(Date.now() + 300_000).toUTCString()), { retry_policy });
    expect(dated.inSeconds).toBeGreaterThan(295);
    expect(dated.inSeconds).toBeLessThanOrEqual(301);
    expect((await once(answer('3'), { retry_policy })).inSeconds).toBe(10);
    expect((await once(answer('soon'), { retry_policy })).inSeconds).toBe(10);
    expect(
      (await once(answer('999999999'), { retry_policy: fixed(10, { ageMaxSeconds: 864_000 }) })).inSeconds,
    ).toBe(86_400);
  });

  it('ends with the attempts, or with the age', async () => {
    const { customer, id } = await once(500, { retry_policy: fixed(0, { attemptsMax: 3 }) });
    const failed = await boundary.until(
      () => boundary.delivery(id),
      (row: { status: string }) => row.status === 'failed',
    );
    expect(failed).toMatchObject({
      tries: 3,
      attempts: 3,
      gave_up: 'attempts_exhausted',
      failure: 'http_5xx',
    });
    expect(boundary.hitsOf(customer)).toHaveLength(3);

    const tooLate = await once(500, { retry_policy: fixed(61, { ageMaxSeconds: 60 }) });
    expect(tooLate.delivery).toMatchObject({ status: 'failed', gave_up: 'too_old', tries: 1 });

    // Older than that when its turn comes: no request is made.
    const paused = await boundary.customer(
      { retry_policy: fixed(1, { ageMaxSeconds: 60 }) },
      { paused_at: new Date() },
    );
    const [old] = await boundary.publish(paused);
    await boundary.database.query(
      `UPDATE deliveries SET run_at = now() - interval '61 seconds' WHERE id = $1`,
      [old],
    );
    await boundary.set('lanes', paused, { paused_at: null });
    await boundary.workers[0].lanes.promoteStalled();
    const expired = await boundary.until(
      () => boundary.delivery(old),
      (row: { status: string }) => row.status === 'failed',
    );
    expect(expired).toMatchObject({ failure: 'expired', gave_up: 'too_old', attempts: 0, tries: 0 });
    expect(boundary.hitsOf(paused)).toEqual([]);
  });

  it('an attempt ends by the policy’s time-out, which is over the endpoint’s', async () => {
    const startedAt = performance.now();
    const { delivery } = await once(null, {
      timeout_ms: 30_000,
      retry_policy: fixed(600, { timeoutSeconds: 1 }),
    });
    expect(delivery).toMatchObject({ failure: 'response_timeout', place: 'waiting' });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe('what is not tried again', () => {
  it.each([
    [400, 'http_4xx'],
    [404, 'http_4xx'],
    [301, 'redirect'],
    [413, 'payload_too_large_413'],
  ])('%d fails at once', async (status, failure) => {
    const { delivery } = await once(status, { retry_policy: fixed(5) });
    expect(delivery).toMatchObject({ status: 'failed', failure, gave_up: 'permanent', tries: 1 });
  });

  it.each([408, 425, 429, 500, 502])('%d is tried again', async (status) => {
    const { delivery } = await once(status, { retry_policy: fixed(5) });
    expect(delivery).toMatchObject({ status: 'pending', place: 'waiting' });
  });

  it('but 4xx are, where the endpoint chose so; redirects never', async () => {
    const retry_policy = fixed(5, { retryClientErrors: true });
    for (const status of [400, 404, 413])
      expect((await once(status, { retry_policy })).delivery).toMatchObject({
        status: 'pending',
        place: 'waiting',
      });
    expect((await once(301, { retry_policy })).delivery).toMatchObject({
      status: 'failed',
      failure: 'redirect',
    });
  });

  it('410, and a receiver that asks for it, disable the endpoint; abort-message ends only the message', async () => {
    const says = (status: number, directive: string): Answer => ({
      status,
      headers: { 'webhook-delivery': directive },
    });
    const cases: [Answer, object, string | null][] = [
      [410, { status: 'failed', failure: 'gone_410', gave_up: 'permanent' }, 'gone_410'],
      [
        says(500, 'disable'),
        { status: 'failed', failure: 'http_5xx', gave_up: 'receiver_abort' },
        'receiver_asked',
      ],
      [says(200, 'disable'), { status: 'delivered' }, 'receiver_asked'],
      [
        says(503, 'Abort-Message'),
        { status: 'failed', failure: 'receiver_abort', gave_up: 'receiver_abort' },
        null,
      ],
    ];
    for (const [answer, outcome, reason] of cases) {
      const { customer, delivery } = await once(answer, { retry_policy: fixed(5) });
      expect(delivery).toMatchObject(outcome);
      if (reason === null) {
        expect(await boundary.transitions(customer)).toEqual([]);
        continue;
      }
      const transitions = await boundary.until(
        () => boundary.transitions(customer),
        ({ length }) => length > 0,
      );
      expect(transitions).toEqual([{ kind: 'disabled', detail: { reason } }]);
      const [endpoint] = await boundary.database.query('SELECT disabled_at FROM endpoints WHERE id = $1', [
        customer.endpointId,
      ]);
      expect(endpoint.disabled_at).not.toBeNull();
      // What comes from then on is cancelled, and what was there too.
      const [next] = await boundary.publish(customer);
      expect(await boundary.delivery(next)).toMatchObject({
        status: 'cancelled',
        cancel_reason: 'endpoint_disabled',
      });
    }
  });
});

describe('who goes first', () => {
  it('over its retry budget an endpoint’s retries wait, and lose nothing', async () => {
    const customer = await boundary.customer(
      { retry_policy: fixed(0), retry_budget_percent: 10 },
      { window_size: 100 },
    );
    // Fourteen that fail once, among many that do not: no circuit opens.
    const failed = new Set<number>();
    boundary.answering(customer, ({ data: { n } }) => {
      if (n % 4 !== 0 || n >= 56 || failed.has(n)) return 200;
      failed.add(n);
      return 500;
    });
    await boundary.publish(customer, 60);
    const waiting = async (): Promise<{ n: number; tries: number; attempts: number }> => {
      const [row] = await boundary.database.query<{ n: number; tries: number; attempts: number }>(
        `SELECT count(*)::int AS n, coalesce(max(tries), 0)::int AS tries, coalesce(max(attempts), 0)::int AS attempts
           FROM deliveries WHERE endpoint_id = $1 AND due_because = 'retry_budget'`,
        [customer.endpointId],
      );
      return row;
    };
    const over = await boundary.until(waiting, ({ n }) => n === 4);
    // Ten a minute are free; those beyond wait without burning a try.
    expect(over).toEqual({ n: 4, tries: 1, attempts: 1 });
    // They may be on record before the last of those that were sent.
    const made = await boundary.until(
      () => boundary.attempts(customer),
      ({ length }) => length >= 70,
    );
    expect(made).toHaveLength(70);
    await boundary.set('endpoints', customer, { retry_budget_percent: 100 });
    const { endpointId } = customer;
    await boundary.database.query(`UPDATE pgboss.job SET start_after = now() WHERE group_id = $1`, [
      endpointId,
    ]);
    await boundary.untilCounts(customer, { delivered: 60 });
  });

  it('critical events before normal ones of the same moment, both before retries and replays', async () => {
    const customer = await boundary.customer({ retry_policy: fixed(3600) }, { window_size: 1000 });
    boundary.answering(customer, 500);
    await boundary.publish(customer, 4, { from: 1000 });
    await boundary.untilCounts(customer, { waiting: 4 });
    boundary.answering(customer, { status: 200, afterMs: 10 });
    await boundary.set('lanes', customer, { paused_at: new Date() });
    await boundary.publish(customer, 60);
    await boundary.publish(customer, 60, { from: 100, priority: 'critical' });
    // All become due in one moment, in a lane that has room for them.
    await boundary.set('lanes', customer, { paused_at: null, window_size: 1000 });
    await boundary.database.query(`UPDATE pgboss.job SET start_after = now() WHERE group_id = $1`, [
      customer.endpointId,
    ]);
    await boundary.workers[0].lanes.promoteStalled();
    await boundary.untilCounts(customer, { delivered: 124 });
    const order = boundary
      .hitsOf(customer)
      .slice(4)
      .map(({ data }) => data.n);
    const criticals = order.flatMap((n, at) => (n >= 100 && n < 1000 ? [at] : []));
    const normals = order.flatMap((n, at) => (n < 100 ? [at] : []));
    const median = (at: number[]): number => at[Math.floor(at.length / 2)];
    expect(criticals).toHaveLength(60);
    expect(median(criticals)).toBeLessThan(median(normals) - 30);
    // One claim takes the critical ones first; among the tickets of one claim the order is anybody's.
    expect(order.slice(0, 40).filter((n) => n < 100)).toEqual([]);
  });
});
