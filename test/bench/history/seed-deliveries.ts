import type { Pool } from 'pg';
import type { FailureClass } from '../../../libs/domain/src/index.js';
import { EVENT_TYPE } from '../payload.js';

/** In turn over the failed ones, each with what its attempts say. */
const FAILURES: readonly (readonly [FailureClass, number | null])[] = [
  ['http_5xx', 500],
  ['response_timeout', null],
  ['http_4xx', 404],
  ['connect_refused', null],
  ['gateway_502_504', 502],
  ['dns_nxdomain', null],
];
export const FAILURE_CLASSES_SEEDED: readonly FailureClass[] = FAILURES.map(([name]) => name);

// One in a hundred ended as failed, after six attempts.
const FAILED_EVERY = 100;
const FAILED_ATTEMPTS = 6;
// Smaller than the payload of the bench, so that 5,000,000 fit on a small disk; nothing reads it but a timeline.
const DATA = JSON.stringify({ customer: 'cus_4f1c', currency: 'EUR', note: 'lorem ipsum '.repeat(12) });

/**
 * So many finished deliveries of one day: an event, a delivery and its attempts each, evenly over the day. Few endpoints
 * have many and many have few, as customers are: the share of endpoint n falls with n.
 */
export async function seedDay(
  pool: Pool,
  day: string,
  first: number,
  count: number,
  endpoints: number,
): Promise<void> {
  const suffix = day.replaceAll('-', '');
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(
      `CREATE TEMP TABLE seed_day ON COMMIT DROP AS
       SELECT d.*, e.endpoint_id, e.subscriber_id,
              CASE WHEN class IS NULL THEN 1 ELSE ${FAILED_ATTEMPTS} END AS attempts
         FROM (SELECT k, at, ${uuidOf('at', "md5('event' || k)")} AS event_id,
                      ${uuidOf('at', "md5('delivery' || k)")} AS id,
                      -- hashint8 is even over its range, so this is a number from 0 to 1.
                      floor($3::int * power((hashint8extended(k, 7) & 1048575) / 1048576.0, 3))::int AS n,
                      CASE WHEN k % ${FAILED_EVERY} = 0
                           THEN 1 + ((k / ${FAILED_EVERY}) % cardinality($4::text[]))::int END AS class
                 FROM (SELECT k, $5::date::timestamp AT TIME ZONE 'UTC' + interval '1 day' * ((k - $1::bigint)::float8 / $2::int) AS at
                         FROM generate_series($1::bigint, $1::bigint + $2::int - 1) k) i) d
         JOIN seed_endpoints e USING (n)
        ORDER BY k`,
      [first, count, endpoints, FAILURE_CLASSES_SEEDED, day],
    );
    await client.query(
      `INSERT INTO events_${suffix} (id, subscriber_id, type, version, data, matched, occurred_at, created_at)
       SELECT event_id, subscriber_id, $1, '1', $2, 1, at, at FROM seed_day ORDER BY k`,
      [EVENT_TYPE, DATA],
    );
    await client.query(
      `INSERT INTO deliveries_${suffix} (id, subscriber_id, event_id, endpoint_id, event_type, status, trigger, tries, attempts,
              failure, status_code, gave_up, created_at, updated_at, run_at, finished_at)
       SELECT id, subscriber_id, event_id, endpoint_id, $1, CASE WHEN class IS NULL THEN 'delivered' ELSE 'failed' END,
              'event', attempts, attempts, ($2::text[])[class], CASE WHEN class IS NULL THEN 200 ELSE ($3::int[])[class] END,
              CASE WHEN class IS NOT NULL THEN 'attempts_exhausted' END, at, at, at, at + interval '20 ms'
         FROM seed_day ORDER BY k`,
      [EVENT_TYPE, FAILURE_CLASSES_SEEDED, FAILURES.map(([, code]) => code)],
    );
    await client.query(
      `INSERT INTO attempts_${suffix} (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, url, scheduled_at,
              started_at, finished_at, first_byte_ms, total_ms, status_code, failure, remote_address, response_headers,
              response_body, response_encoding, worker)
       SELECT ${uuidOf('at', "md5('attempt' || k || '-' || a)")}, subscriber_id, id, endpoint_id, a,
              CASE a WHEN 1 THEN 'event' ELSE 'retry' END, CASE WHEN class IS NULL THEN 'delivered' ELSE 'failed' END,
              'https://customer-' || n || '.example.com/hooks', at, at, at + interval '20 ms', 19, 20,
              CASE WHEN class IS NULL THEN 200 ELSE ($2::int[])[class] END, ($1::text[])[class], '203.0.113.7',
              '{"content-length":"2"}', 'ok', 'utf8', 'worker-1'
         FROM seed_day CROSS JOIN LATERAL generate_series(1, attempts) a ORDER BY k, a`,
      [FAILURE_CLASSES_SEEDED, FAILURES.map(([, code]) => code)],
    );
    await client.query('COMMIT');
    // While its pages are in memory. Otherwise autovacuum would do it in the middle of a measurement.
    await client.query(`VACUUM (FREEZE, ANALYZE) events_${suffix}, deliveries_${suffix}, attempts_${suffix}`);
  } finally {
    // With it goes what a failure left open.
    client.release(true);
  }
}

/** SQL for a UUIDv7 of an instant, with a hash for its chance. */
function uuidOf(at: string, hash: string): string {
  return `(lpad(to_hex(floor(extract(epoch FROM ${at}) * 1000)::bigint), 12, '0') || '7' || left(${hash}, 3) || '8' || substr(${hash}, 4, 15))::uuid`;
}
