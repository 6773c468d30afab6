/**
 * Real: PostgreSQL, pg-boss's tables, AcceptEvents, the statements of T2. A check that cannot fail is a defect: each
 * promise is broken once by hand, and the doctor names it and nothing else.
 */
import 'reflect-metadata';
import { runDoctor, type DoctorReport } from '@app/console';
import { manualClock, newId, systemClock, systemRandom, toPublicId } from '@app/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerSubscriber, type Fixture } from '../support/fixtures.js';
import { Bench, type Delivery } from './console-fixture.js';

let bench: Bench;
let customer: Fixture;
/** One of each: `waiting`, `queued` and `held` are pending. */
let some: Record<'delivered' | 'failed' | 'waiting' | 'queued' | 'held', Delivery>;

beforeAll(async () => {
  bench = await Bench.open();
  customer = await registerSubscriber(bench.database, ['https://example.com/a']);
  await bench.publish(customer.subscriberId);
  await bench.deliverAll();
  await bench.publish(customer.subscriberId);
  await bench.failAll();
  await bench.publish(customer.subscriberId);
  await bench.record(
    await bench.claim(),
    { status: 'pending', place: 'waiting', inSeconds: 3600 },
    'http_5xx',
  );
  await bench.database.query('UPDATE lanes SET window_size = 1');
  await bench.publish(customer.subscriberId, 2);
  const rows = await bench.deliveries(customer.subscriberId);
  const by = (wanted: string) => rows.find((row) => row.status === wanted || row.place === wanted)!;
  some = {
    delivered: by('delivered'),
    failed: by('failed'),
    waiting: by('waiting'),
    queued: by('queued'),
    held: by('held'),
  };
});
afterAll(() => bench.close());

const broken = (report: DoctorReport) => report.checks.filter((check) => !check.ok);

/** Breaks something, looks, and mends it again. */
async function withFault(fault: string, values: unknown[], mend: string, mendValues: unknown[] = values) {
  const planted = await bench.owner.query(fault, values);
  try {
    return { planted, found: broken(await runDoctor(bench.database, systemClock, { allowLossy: true })) };
  } finally {
    await bench.owner.query(mend, mendValues);
  }
}

const TICKET = `INSERT INTO pgboss.job (id, name, group_id, policy, dead_letter, expire_seconds, deletion_seconds, retry_limit)
  SELECT $1::uuid, 'deliver', $2::text, 'standard', NULL, 600, 3600, 1`;

it('finds nothing where nothing is wrong, and checks every promise', async () => {
  const report = await runDoctor(bench.database, systemClock, { allowLossy: true });
  expect(broken(report)).toEqual([]);
  expect(report.ok).toBe(true);
  expect(report.checks.map((check) => check.name)).toMatchInlineSnapshot(`
    [
      "clocks_agree",
      "commits_are_durable",
      "schema_up_to_date",
      "data_keys",
      "pending_has_ticket",
      "held_without_ticket",
      "ticket_has_delivery",
      "finished_without_ticket",
      "lanes_exact",
      "ordered_have_turns",
      "one_turn_each",
      "secrets_sealed",
      "sealed_have_keys",
      "circuits_have_probes",
      "endpoints_have_lanes",
      "stopped_endpoints_quiet",
      "partitions_ahead",
      "default_partitions_empty",
      "indexes_valid",
      "events_have_deliveries",
      "deliveries_have_events",
      "attempts_dense",
      "delivered_has_attempt",
    ]
  `);
});

describe('finds', () => {
  it('a pending delivery without its ticket', async () => {
    const { id } = some.queued;
    const { found } = await withFault('DELETE FROM pgboss.job WHERE id = $1', [id], TICKET, [
      id,
      some.queued.endpointId,
    ]);
    expect(found).toMatchObject([{ name: 'pending_has_ticket', found: 1, sample: [toPublicId('dlv', id)] }]);
  });

  it.each([
    ['a held delivery with a ticket', 'held', 'held_without_ticket'],
    ['a finished delivery with a ticket', 'failed', 'finished_without_ticket'],
  ] as const)('%s', async (_, which, name) => {
    const { id, endpointId } = some[which];
    const { found } = await withFault(TICKET, [id, endpointId], 'DELETE FROM pgboss.job WHERE id = $1', [id]);
    expect(found).toMatchObject([{ name, found: 1, sample: [toPublicId('dlv', id)] }]);
  });

  it('a ticket of nothing', async () => {
    const id = newId(Date.now(), systemRandom);
    const { found } = await withFault(TICKET, [id, id], 'DELETE FROM pgboss.job WHERE id = $1', [id]);
    expect(found).toMatchObject([{ name: 'ticket_has_delivery', found: 1 }]);
  });

  it.each(['queued', 'held', 'waiting'])('a lane whose count of %s is wrong', async (column) => {
    const { found } = await withFault(
      `UPDATE lanes SET ${column} = ${column} + 1`,
      [],
      `UPDATE lanes SET ${column} = ${column} - 1`,
    );
    expect(found).toMatchObject([
      { name: 'lanes_exact', found: 1, sample: [toPublicId('ep', customer.endpointIds[0])] },
    ]);
  });

  it('something ordered without a turn to wait for', async () => {
    const { id } = some.held;
    const { found } = await withFault(
      `UPDATE deliveries SET ordering_key = 'k' WHERE id = $1`,
      [id],
      'UPDATE deliveries SET ordering_key = NULL WHERE id = $1',
    );
    expect(found).toMatchObject([{ name: 'ordered_have_turns', found: 1, sample: [toPublicId('dlv', id)] }]);
  });

  it('two of one ordering key in the queue', async () => {
    const ids = [some.queued.id, some.waiting.id];
    const [endpointId] = customer.endpointIds;
    await bench.database.query(
      `INSERT INTO ordering_keys (endpoint_id, subscriber_id, key, state, delivery_id) VALUES ($1, $2, 'k', 'busy', $3)`,
      [endpointId, customer.subscriberId, some.queued.id],
    );
    const { found } = await withFault(
      `UPDATE deliveries SET ordering_key = 'k' WHERE id = ANY($1::uuid[])`,
      [ids],
      'UPDATE deliveries SET ordering_key = NULL WHERE id = ANY($1::uuid[])',
    );
    await bench.database.query('DELETE FROM ordering_keys');
    expect(found).toMatchObject([
      { name: 'one_turn_each', found: 1, sample: [toPublicId('ep', endpointId)] },
    ]);
  });

  it('a half-open circuit whose probe is nowhere', async () => {
    const { found } = await withFault(
      `UPDATE lanes SET circuit = 'half_open', probe_id = $1`,
      [newId(Date.now(), systemRandom)],
      `UPDATE lanes SET circuit = 'closed', probe_id = NULL`,
      [],
    );
    expect(found).toMatchObject([{ name: 'circuits_have_probes', found: 1 }]);
  });

  it('an endpoint without a lane', async () => {
    const { found } = await withFault(
      `WITH new AS (INSERT INTO endpoints (id, subscriber_id, url, event_types) VALUES ($1, $2, 'https://example.com', '{*}'))
       SELECT 1 AS one`,
      [newId(Date.now(), systemRandom), customer.subscriberId],
      `DELETE FROM endpoints e WHERE NOT EXISTS (SELECT 1 FROM lanes l WHERE l.endpoint_id = e.id)`,
      [],
    );
    expect(found).toMatchObject([{ name: 'endpoints_have_lanes', found: 1 }]);
  });

  it('an event whose delivery is missing, and one with a delivery too many', async () => {
    const { found } = await withFault(
      'UPDATE events SET matched = matched + 1',
      [],
      'UPDATE events SET matched = matched - 1',
    );
    expect(found).toMatchObject([{ name: 'events_have_deliveries', found: 5 }]);
    const less = await withFault('UPDATE events SET matched = 0', [], 'UPDATE events SET matched = 1');
    expect(less.found).toMatchObject([{ name: 'events_have_deliveries', found: 5 }]);
  });

  it('a delivery whose event is gone', async () => {
    const { id } = some.failed;
    const { found } = await withFault(
      'UPDATE deliveries SET event_id = $2 WHERE id = $1',
      [id, newId(Date.now(), systemRandom)],
      'UPDATE deliveries d SET event_id = e.id FROM events e WHERE d.id = $1 AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.event_id = e.id)',
      [id],
    );
    expect(found.map((check) => check.name)).toEqual(['events_have_deliveries', 'deliveries_have_events']);
  });

  it('attempts with a gap, with a number twice, and one that is not counted', async () => {
    for (const [fault, mend] of [
      [
        'UPDATE attempts SET n = 2 WHERE delivery_id = $1',
        'UPDATE attempts SET n = 1 WHERE delivery_id = $1',
      ],
      [
        'UPDATE deliveries SET attempts = 2 WHERE id = $1',
        'UPDATE deliveries SET attempts = 1 WHERE id = $1',
      ],
    ]) {
      const { found } = await withFault(fault, [some.failed.id], mend);
      expect(found).toMatchObject([
        { name: 'attempts_dense', found: 1, sample: [toPublicId('dlv', some.failed.id)] },
      ]);
    }
  });

  it('a delivered delivery that nobody answered with 2xx', async () => {
    const { found } = await withFault(
      `UPDATE attempts SET status = 'failed', failure = 'http_5xx' WHERE delivery_id = $1`,
      [some.delivered.id],
      `UPDATE attempts SET status = 'delivered', failure = NULL WHERE delivery_id = $1`,
    );
    expect(found).toMatchObject([{ name: 'delivered_has_attempt', found: 1 }]);
  });

  it('what is pending for a stopped endpoint, after a minute', async () => {
    const stop = (ago: string) =>
      withFault(
        `WITH late AS (UPDATE deliveries SET updated_at = updated_at - interval '1 hour' WHERE status = 'pending')
         UPDATE endpoints SET disabled_at = now() - interval '${ago}'`,
        [],
        'UPDATE endpoints SET disabled_at = NULL',
      );
    expect((await stop('30 seconds')).found).toEqual([]);
    expect((await stop('2 minutes')).found).toMatchObject([{ name: 'stopped_endpoints_quiet', found: 3 }]);
  });

  it('a missing partition ahead', async () => {
    const [{ name }] = await bench.database.query<{ name: string }>(
      `SELECT 'attempts_' || to_char((now() AT TIME ZONE 'UTC')::date + 2, 'YYYYMMDD') AS name`,
    );
    const { found } = await withFault(
      `DROP TABLE ${name}`,
      [],
      `SELECT posthorn_create_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 7, 1000)`,
    );
    expect(found).toMatchObject([{ name: 'partitions_ahead', found: 1, sample: [name] }]);
  });

  it('an id from a wrong clock', async () => {
    const id = newId(Date.now() + 400 * 24 * 3_600_000, systemRandom);
    const { found } = await withFault(
      `INSERT INTO events (id, subscriber_id, type, version, data, matched, occurred_at) VALUES ($1, $2, 'thing.happened', '1', '{}', 0, now())`,
      [id, customer.subscriberId],
      'DELETE FROM events_default',
      [],
    );
    expect(found).toMatchObject([{ name: 'default_partitions_empty', found: 1, sample: [id] }]);
  });

  it('an index that is not valid', async () => {
    // What an interrupted CREATE INDEX CONCURRENTLY leaves behind.
    await bench.owner.query('CREATE TABLE twice (n integer)');
    await bench.owner.query('INSERT INTO twice VALUES (1), (1)');
    await expect(
      bench.owner.query('CREATE UNIQUE INDEX CONCURRENTLY twice_n ON twice (n)'),
    ).rejects.toThrow();
    const { found } = await withFault('SELECT 1 AS one', [], 'DROP TABLE twice');
    expect(found).toMatchObject([{ name: 'indexes_valid', found: 1, sample: ['twice_n'] }]);
  });

  it('clocks that differ by more than two seconds, either way', async () => {
    for (const ms of [-2500, 2500]) {
      const { checks } = await runDoctor(bench.database, manualClock(new Date(Date.now() + ms)), {
        allowLossy: true,
      });
      expect(checks.filter((check) => !check.ok)).toMatchObject([{ name: 'clocks_agree' }]);
    }
  });

  it('a server that may lose commits, unless that is allowed', async () => {
    const found = broken(await runDoctor(bench.database, systemClock));
    expect(found).toMatchObject([{ name: 'commits_are_durable', detail: expect.stringContaining('fsync') }]);
  });

  it('a schema that is not up to date', async () => {
    const { found } = await withFault(
      `UPDATE migrations SET name = 'Other' WHERE name = 'Queue1795305600003'`,
      [],
      `UPDATE migrations SET name = 'Queue1795305600003' WHERE name = 'Other'`,
    );
    expect(found).toMatchObject([{ name: 'schema_up_to_date', sample: ['Queue1795305600003'] }]);
  });
});

it('finds a secret in plain text, and a subscriber without the key of what is sealed for it', async () => {
  const { endpointIds, subscriberId } = customer;
  const plain = await withFault(
    `INSERT INTO endpoint_secrets (id, subscriber_id, endpoint_id, secret) VALUES (gen_random_uuid(), $1, $2, 'whsec_plain')`,
    [subscriberId, endpointIds[0]],
    `DELETE FROM endpoint_secrets WHERE secret IS NOT NULL`,
    [],
  );
  expect(plain.found).toMatchObject([
    { name: 'secrets_sealed', found: 1, sample: [toPublicId('ep', endpointIds[0])] },
  ]);
  expect(JSON.stringify(plain.found)).not.toContain('whsec_');
  const [row] = await bench.owner.query<{ kekId: string; wrapped: Buffer }>(
    'SELECT kek_id AS "kekId", wrapped FROM data_keys WHERE subscriber_id = $1',
    [subscriberId],
  );
  const lost = await withFault(
    'DELETE FROM data_keys WHERE subscriber_id = $1',
    [subscriberId],
    'INSERT INTO data_keys (subscriber_id, kek_id, wrapped) VALUES ($1, $2, $3)',
    [subscriberId, row.kekId, row.wrapped],
  );
  expect(lost.found).toMatchObject([
    { name: 'sealed_have_keys', found: 1, sample: [toPublicId('sub', subscriberId)] },
  ]);
  const { checks } = await runDoctor(bench.database, systemClock, { allowLossy: true });
  expect(checks.find(({ name }) => name === 'data_keys')!.detail).toBe('data keys are wrapped: 1 by test');
});

it('is never wrong while everything moves', async () => {
  const state = { moving: true };
  const publisher = async () => {
    while (state.moving) await bench.publish(customer.subscriberId, 20);
  };
  const worker = async () => {
    while (state.moving) await bench.record(await bench.claim(50), { status: 'delivered' });
  };
  await bench.database.query('UPDATE lanes SET window_size = 60');
  const busy = [publisher(), worker()];
  for (let times = 0; times < 15; times++)
    expect(broken(await runDoctor(bench.database, systemClock, { allowLossy: true }))).toEqual([]);
  state.moving = false;
  await Promise.all(busy);
});
