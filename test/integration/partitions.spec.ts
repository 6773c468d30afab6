/** Real: PostgreSQL. Days are moved by making partitions in the past, not by a clock. */
import { newId, systemRandom } from '@app/domain';
import { partitionsRepository, type Database } from '@app/persistence';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';

let drop: () => Promise<void>;
let database: Database;
let url: string;
beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url, 'owner');
});
afterAll(async () => {
  await database.close();
  await drop();
});

const DAY_MS = 86_400_000;
const dayName = (daysAgo: number): string =>
  new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
const partitions = async (): Promise<string[]> =>
  (
    await database.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'deliveries'::regclass ORDER BY 1`,
    )
  ).map((row) => row.name);

async function insertDelivery(daysAgo: number, status: 'pending' | 'delivered'): Promise<string> {
  const id = newId(Date.now() - daysAgo * DAY_MS, systemRandom);
  await database.query(
    `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at, finished_at)
     VALUES ($1, $1, $1, $1, 'a.b', $2, $3, 'event', $4, $5)`,
    [
      id,
      status,
      status === 'pending' ? 'waiting' : null,
      status === 'pending' ? new Date() : null,
      status === 'pending' ? null : new Date(),
    ],
  );
  return id;
}

describe('days', () => {
  it('exist a week ahead, once', async () => {
    expect(await partitions()).toContain(`deliveries_${dayName(-7)}`);
    expect(await partitionsRepository.createAhead(database)).toBe(0);
    await database.query(`ALTER TABLE deliveries DETACH PARTITION deliveries_${dayName(-7)}`);
    await database.query(`DROP TABLE deliveries_${dayName(-7)}`);
    expect(await partitionsRepository.createAhead(database)).toBe(1);
  });

  it('take the rows whose id is of that day', async () => {
    const id = await insertDelivery(0, 'delivered');
    expect(
      await database.query('SELECT tableoid::regclass::text AS name FROM deliveries WHERE id = $1', [id]),
    ).toEqual([{ name: `deliveries_${dayName(0)}` }]);
    const stray = await insertDelivery(400, 'delivered');
    expect(
      await database.query('SELECT tableoid::regclass::text AS name FROM deliveries WHERE id = $1', [stray]),
    ).toEqual([{ name: 'deliveries_default' }]);
    await database.query('DELETE FROM deliveries WHERE id = $1', [stray]);
  });

  it('are dropped when they are old enough, but none that holds a pending delivery', async () => {
    await database.query(`SELECT posthorn_create_partitions(current_date - 35, current_date - 29, 1000)`);
    await insertDelivery(33, 'pending');
    await insertDelivery(32, 'delivered');
    const dropped: string[] = [];
    for (
      let day = await partitionsRepository.dropOldest(database, 30);
      day.length > 0;
      day = await partitionsRepository.dropOldest(database, 30)
    )
      dropped.push(...day);
    const kept = await partitions();
    expect(kept).toContain(`deliveries_${dayName(33)}`);
    expect(kept).toContain(`deliveries_${dayName(31)}`);
    for (const old of [35, 34, 32]) {
      expect(kept).not.toContain(`deliveries_${dayName(old)}`);
      expect(dropped).toEqual(expect.arrayContaining([`events_${dayName(old)}`, `attempts_${dayName(old)}`]));
    }
  });

  it('are made and dropped without making anybody wait for a second, also behind a long transaction', async () => {
    await database.query(`SELECT posthorn_create_partitions(current_date - 40, current_date - 40, 1000)`);
    const [reader, other] = [new pg.Client(url), new pg.Client(url)];
    await Promise.all([reader.connect(), other.connect()]);
    const tries = {
      drop: () => partitionsRepository.dropOldest(database, 30),
      make: () =>
        database.query(`SELECT posthorn_create_partitions(current_date - 50, current_date - 50, 1)`),
    };
    for (const attempt of Object.values(tries)) {
      await reader.query('BEGIN; SELECT count(*) FROM deliveries, events, attempts WHERE false');
      let trying = true;
      const refused = attempt().then(
        () => null,
        (error: { code: string }) => error.code,
      );
      void refused.then(() => (trying = false));
      for (let longestMs = 0; trying;) {
        const from = performance.now();
        await other.query('SELECT 1 FROM deliveries LIMIT 1');
        longestMs = Math.max(longestMs, performance.now() - from);
        expect(longestMs).toBeLessThan(1000);
      }
      expect(await refused).toBe('55P03');
      await reader.query('COMMIT');
      await attempt();
    }
    await Promise.all([reader.end(), other.end()]);
    expect(await partitions()).not.toContain(`deliveries_${dayName(40)}`);
  });
});
