/** Real: PostgreSQL. Proves: what several workers counted of one endpoint adds up, to the class, whatever comes at once. */
import { emptyLatencies, newId, systemRandom } from '@app/domain';
import { statsRepository, type Database } from '@app/persistence';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let database: Database;
let drop: () => Promise<void>;
beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop } = created);
  database = await openDatabase(created.url);
});
afterAll(async () => {
  await database.close();
  await drop();
});

const id = () => newId(Date.now(), systemRandom);
const subscriberId = id();
const latency = (at: number, n: number) => emptyLatencies().with(at, n);
const bucket = (minutesAgo: number) => {
  const ms = Date.now() - minutesAgo * 60_000;
  return new Date(ms - (ms % 300_000));
};

it('adds up over workers, buckets and spans', async () => {
  const endpointId = id();
  const one = {
    endpointId,
    subscriberId,
    bucketAt: bucket(0),
    delivered: 3,
    failed: 1,
    latency: latency(2, 4),
  };
  await Promise.all(Array.from({ length: 5 }, () => statsRepository.add(database, [one, one])));
  await statsRepository.add(database, [{ ...one, bucketAt: bucket(120), latency: latency(24, 4) }]);
  // Another's, of the same time.
  await statsRepository.add(database, [{ ...one, endpointId: id() }]);
  const [hour, day] = await statsRepository.of(database, subscriberId, endpointId, [3600, 86_400]);
  expect(hour).toEqual({ delivered: 30, failed: 10, latency: latency(2, 40) });
  expect(day).toEqual({ delivered: 33, failed: 11, latency: latency(2, 40).with(24, 4) });
  expect(await statsRepository.of(database, subscriberId, id(), [3600])).toEqual([
    { delivered: 0, failed: 0, latency: [] },
  ]);
});

it('takes more rows than one statement does, in whatever order they come', async () => {
  const endpoints = Array.from({ length: 1201 }, id);
  const row = { subscriberId, bucketAt: bucket(0), delivered: 1, failed: 0, latency: latency(0, 1) };
  const rows = endpoints.map((endpointId) => ({ ...row, endpointId }));
  await Promise.all([statsRepository.add(database, rows), statsRepository.add(database, rows.toReversed())]);
  const [sum] = await database.query<{ n: number; delivered: number }>(
    'SELECT count(*)::int AS n, sum(delivered)::int AS delivered FROM endpoint_stats WHERE endpoint_id = ANY($1)',
    [endpoints],
  );
  expect(sum).toEqual({ n: 1201, delivered: 2402 });
});

it('forgets what is old, some at a time', async () => {
  const endpointId = id();
  const row = { endpointId, subscriberId, delivered: 1, failed: 0, latency: latency(0, 1) };
  const old = [40, 41, 42].map((days) => ({ ...row, bucketAt: bucket(days * 1440) }));
  await statsRepository.add(database, [...old, { ...row, bucketAt: bucket(10) }]);
  expect(await statsRepository.deleteOld(database, 31, 2)).toBe(2);
  expect(await statsRepository.deleteOld(database, 31, 2)).toBe(1);
  expect(await statsRepository.deleteOld(database, 31, 2)).toBe(0);
  expect(await statsRepository.of(database, subscriberId, endpointId, [3600])).toMatchObject([
    { delivered: 1 },
  ]);
});
