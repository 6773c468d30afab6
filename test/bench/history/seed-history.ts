import { spawnSync } from 'node:child_process';
import { chmod, mkdir } from 'node:fs/promises';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../../libs/embedded-postgres/src/index.js';
import { migrateDatabase } from '../../support/processes.js';
import { EVENT_TYPE } from '../payload.js';
import type { HistorySize } from './history.js';
import { seedDay } from './seed-deliveries.js';
import { seedSubscribers } from './seed-subscribers.js';

export const HISTORY_DAYS = 30;
// One per core: each writes days of its own.
const SESSIONS = 2;

// Nothing is kept when the machine fails: then it is made anew. The bench opens it with fsync on.
const LOADING = {
  shared_buffers: '1GB',
  maintenance_work_mem: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
};

/** Makes a database that looks as after 30 days of use, by writing its tables. Answers the first day. */
export async function seedHistory(
  directory: string,
  size: HistorySize,
  log: (line: string) => void,
): Promise<string> {
  const startedAt = performance.now();
  const say = (line: string) =>
    log(`seed: ${line} (${Math.round((performance.now() - startedAt) / 1000)} s)`);
  await mkdir(directory, { recursive: true });
  // As root the server runs as another user, who must be able to enter.
  await chmod(directory, 0o711);
  const cluster = await startEmbeddedPostgres({ dataDir: directory, durable: false, settings: LOADING, log });
  const pool = new pg.Pool({ connectionString: cluster.adminUrl('posthorn'), max: SESSIONS });
  // A connection that is closing when the server stops says so to nobody else.
  pool.on('error', () => {});
  try {
    await migrateDatabase(cluster.url());
    await pool.query('INSERT INTO event_types (name) VALUES ($1)', [EVENT_TYPE]);
    await pool.query("INSERT INTO event_type_versions (event_type, version) VALUES ($1, '1')", [EVENT_TYPE]);
    await seedSubscribers(pool, size.subscribers);
    say(`${size.subscribers} subscribers with two endpoints each`);

    const { rows } = await pool.query<{ day: string }>(
      `SELECT to_char((now() AT TIME ZONE 'UTC')::date - n, 'YYYY-MM-DD') AS day FROM generate_series(1, $1::int) n ORDER BY 1`,
      [HISTORY_DAYS],
    );
    const days = rows.map(({ day }) => day);
    await pool.query('SELECT posthorn_create_partitions($1::date, $2::date, 1000)', [days[0], days.at(-1)]);
    const left = [...days.entries()];
    await Promise.all(
      Array.from({ length: SESSIONS }, async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) {
          const [n, day] = next;
          const from = Math.floor((size.deliveries * n) / HISTORY_DAYS);
          const to = Math.floor((size.deliveries * (n + 1)) / HISTORY_DAYS);
          await seedDay(pool, day, from, to - from, size.subscribers * 2);
          if (left.length % 5 === 0) say(`${days.length - left.length} of ${days.length} days`);
        }
      }),
    );
    await pool.query('DROP TABLE seed_endpoints');
    await pool.query('VACUUM (FREEZE, ANALYZE) subscribers, endpoints, endpoint_secrets, data_keys, lanes');
    // The parents' own statistics: autovacuum never makes them.
    await pool.query('ANALYZE events, deliveries, attempts');
    await pool.query('CHECKPOINT');
    say('on record');
    return days[0];
  } finally {
    await pool.end();
    await cluster.stop('fast');
    // The server did not: from here on the bench promises fsync.
    spawnSync('sync', { stdio: 'ignore' });
    say('stopped and synced');
  }
}
