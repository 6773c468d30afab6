/**
 * Real: PostgreSQL, migrations. Promise: what must be true of the large tables and of lanes is a constraint (libs may be wrong, the tables are
 * not), and it says which. Each line breaks one rule alone; a CHECK that comes to NULL lets a row pass, so each such rule has
 * lines on both sides of it. `set-aside.spec.ts` has that of `set_aside`.
 */
import { newId, systemRandom } from '@app/domain';
import { migrate, revertLastMigration, type Database } from '@app/persistence';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ShortChecks1795737600021 } from '../../migrations/1795737600021-short-checks.js';
import { MIGRATIONS } from '../../migrations/index.js';
import { createTestDatabase } from '../support/database.js';
import { openDatabase, registerSubscriber } from '../support/fixtures.js';

let database: Database;
let url: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ drop, url } = await createTestDatabase());
  database = await openDatabase(url, 'owner');
});
afterAll(async () => {
  await database.close();
  await drop();
});

type Row = Record<string, unknown>;
const uuid = () => newId(Date.now(), systemRandom);
const NOW = new Date();
const OVER = { place: null, due_at: null, finished_at: NOW };
const DELIVERED = { status: 'delivered', ...OVER };
const FAILED = { status: 'failed', failure: 'timeout', ...OVER };
const CANCELLED = { status: 'cancelled', cancel_reason: 'staff', ...OVER };
const OPEN = { circuit: 'open', open_until: NOW };
const HALF_OPEN = { circuit: 'half_open', probe_id: uuid() };

/** A row that is in order, of each table; what a line says comes on top. */
const ROWS: Record<string, () => Row> = {
  deliveries: () => ({
    ...{ id: uuid(), subscriber_id: uuid(), event_id: uuid(), endpoint_id: uuid(), event_type: 'a.b' },
    ...{ status: 'pending', place: 'queued', trigger: 'event', due_at: NOW },
  }),
  attempts: () => ({
    ...{
      id: uuid(),
      subscriber_id: uuid(),
      delivery_id: uuid(),
      endpoint_id: uuid(),
      n: 1,
      trigger: 'event',
    },
    ...{
      status: 'delivered',
      url: 'https://example.com',
      scheduled_at: NOW,
      started_at: NOW,
      finished_at: NOW,
    },
    ...{ total_ms: 1, worker: 'w' },
  }),
  events: () => ({
    ...{ id: uuid(), subscriber_id: uuid(), type: 'a.b', version: '1', data: '{}', matched: 0 },
    ...{ occurred_at: NOW },
  }),
};

const write = (table: string, change: Row): Promise<unknown> =>
  table === 'lanes' ? writeLane(change) : insert(database, table, change);

async function insert(into: Database, table: string, change: Row): Promise<unknown> {
  const row = { ...ROWS[table](), ...change };
  const columns = Object.keys(row);
  return into.query(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((_, at) => `$${at + 1}`).join(', ')})`,
    Object.values(row),
  );
}

async function writeLane(change: Row): Promise<unknown> {
  const { endpointIds } = await registerSubscriber(database, ['https://example.com']);
  const set = Object.keys(change).map((column, at) => `${column} = $${at + 2}`);
  return database.query(`UPDATE lanes SET ${set.join(', ')} WHERE endpoint_id = $1`, [
    endpointIds[0],
    ...Object.values(change),
  ]);
}

const REFUSED: [table: string, constraint: string, changes: Row[]][] = [
  [
    'deliveries',
    'deliveries_status_and_why',
    [
      { ...DELIVERED, status: 'done' },
      { ...DELIVERED, status: 'done', failure: 'timeout' },
      { cancel_reason: 'staff' },
      { ...DELIVERED, cancel_reason: 'staff' },
      { ...FAILED, cancel_reason: 'staff' },
      { ...CANCELLED, cancel_reason: null },
      { ...CANCELLED, cancel_reason: null, failure: 'timeout' },
      { ...FAILED, failure: null },
    ],
  ],
  [
    'deliveries',
    'deliveries_pending_or_finished',
    [
      { place: null },
      { due_at: null },
      { finished_at: NOW },
      OVER,
      { ...DELIVERED, place: 'held', due_at: NOW },
      { ...DELIVERED, place: 'queued' },
      { ...DELIVERED, due_at: NOW },
      { ...DELIVERED, finished_at: null },
      { ...FAILED, finished_at: null },
      { ...CANCELLED, finished_at: null },
    ],
  ],
  ['deliveries', 'deliveries_place_check', [{ place: 'Held' }, { place: '' }]],
  ['deliveries', 'deliveries_trigger_check', [{ trigger: 'cron' }, { trigger: '' }]],
  ['deliveries', 'deliveries_due_because', [{ due_because: 'mood' }, { due_because: '' }]],
  [
    'deliveries',
    'deliveries_gave_up',
    [
      { ...FAILED, gave_up: 'mood' },
      { ...FAILED, gave_up: '' },
    ],
  ],
  [
    'deliveries',
    'deliveries_counts',
    [{ tries: -1 }, { faults: -1 }, { tries: 1 }, { attempts: -1 }, { tries: -1, faults: 1, attempts: 1 }],
  ],
  [
    'attempts',
    'attempts_status_and_failure',
    [
      { status: 'failed' },
      { failure: 'timeout' },
      { status: 'pending' },
      { status: 'pending', failure: 'timeout' },
    ],
  ],
  ['attempts', 'attempts_n_check', [{ n: 0 }, { n: -1 }]],
  ['attempts', 'attempts_trigger_check', [{ trigger: 'cron' }, { trigger: '' }]],
  ['attempts', 'attempts_response_body_check', [{ response_body: 'x'.repeat(32_769) }]],
  ['attempts', 'attempts_response_encoding_check', [{ response_encoding: 'latin1' }]],
  [
    'attempts',
    'attempts_one_form',
    [{ response_headers: '{}' }, { response_body: '' }, { response_encoding: 'utf8' }].map((open) => ({
      response_sealed: Buffer.from('sealed'),
      ...open,
    })),
  ],
  ['events', 'events_matched_check', [{ matched: -1 }]],
  ['events', 'events_one_form', [{ data: null }, { data_sealed: Buffer.from('sealed') }]],
  ['events', 'events_ordering_key', [{ ordering_key: '' }, { ordering_key: 'k'.repeat(129) }]],
  ['events', 'events_priority', [{ priority: 'low' }, { priority: '' }]],
  [
    'lanes',
    'lanes_counts',
    ['queued', 'held', 'waiting', 'trips', 'consecutive_failures'].map((column) => ({ [column]: -1 })),
  ],
  ['lanes', 'lanes_window_size_check', [{ window_size: -1 }, { window_size: 2_001 }]],
  ['lanes', 'lanes_window_max_check', [{ window_max: 0 }, { window_max: 2_001 }]],
  ['lanes', 'lanes_circuit_check', [{ circuit: 'ajar' }, { circuit: '' }]],
  ['lanes', 'lanes_half_open_has_probe', [{ circuit: 'half_open' }, { ...OPEN, probe_id: uuid() }]],
  [
    'lanes',
    'lanes_open_has_end',
    [{ circuit: 'open' }, { open_until: NOW }, { ...HALF_OPEN, open_until: NOW }],
  ],
  [
    'lanes',
    'lanes_rate_factor_check',
    [0, -0.5, 1.000_001, 'NaN'].map((factor) => ({ rate_factor: factor })),
  ],
  ['lanes', 'lanes_warned_percent_check', [{ warned_percent: 1 }, { warned_percent: 101 }]],
];

const WRITTEN: [table: string, changes: Row[]][] = [
  [
    'deliveries',
    [
      ...['queued', 'held', 'waiting'].map((place) => ({ place })),
      ...['event', 'retry', 'resend', 'replay', 'test'].map((trigger) => ({ trigger })),
      ...[null, 'retry_schedule', 'retry_after', 'platform_fault', 'rate_limit', 'retry_budget'].map(
        (because) => ({ due_because: because }),
      ),
      ...[null, 'permanent', 'attempts_exhausted', 'too_old', 'receiver_abort', 'platform_faults'].map(
        (gaveUp) => ({ ...FAILED, gave_up: gaveUp }),
      ),
      ...[DELIVERED, FAILED, CANCELLED],
      // What the last try failed with stays, whatever comes of the delivery.
      ...[{}, DELIVERED, CANCELLED].map((row) => ({ ...row, failure: 'timeout' })),
      { failure: '' },
      { ...CANCELLED, cancel_reason: '' },
      { tries: 1, attempts: 1 },
      { tries: 1, faults: 2, attempts: 3 },
    ],
  ],
  [
    'attempts',
    [
      { status: 'failed', failure: 'timeout' },
      { status: 'failed', failure: '' },
      { response_sealed: Buffer.from('sealed') },
      { response_headers: '{}', response_body: 'x'.repeat(32_768), response_encoding: 'utf8' },
      { response_body: '', response_encoding: 'base64' },
      { response_headers: '{}' },
      ...['event', 'retry', 'resend', 'replay', 'test'].map((trigger) => ({ trigger })),
    ],
  ],
  [
    'events',
    [
      { data: '' },
      { data: null, data_sealed: Buffer.from('') },
      ...[null, 'k', 'é'.repeat(128)].map((key) => ({ ordering_key: key })),
      ...['critical', 'normal'].map((priority) => ({ priority })),
    ],
  ],
  [
    'lanes',
    [
      ...['queued', 'held', 'waiting', 'trips', 'consecutive_failures'].map((column) => ({ [column]: 0 })),
      ...[0, 1, 2_000].map((size) => ({ window_size: size })),
      ...[1, 2_000].map((size) => ({ window_max: size })),
      ...[{ circuit: 'closed' }, { circuit: 'unverified' }, OPEN, HALF_OPEN],
      ...[1e-45, 0.5, 1].map((factor) => ({ rate_factor: factor })),
      ...[0, 50, 75, 100].map((percent) => ({ warned_percent: percent })),
    ],
  ],
];

describe('a row is refused, and the constraint says why', () => {
  it.each(REFUSED)('%s: %s', async (table, constraint, changes) => {
    for (const change of changes)
      await expect(write(table, change), JSON.stringify(change)).rejects.toMatchObject({
        code: '23514',
        constraint,
      });
  });

  it('by every constraint that there is', async () => {
    const rules = await database.query<{ name: string }>(
      `SELECT conname AS name FROM pg_constraint WHERE contype = 'c' AND conname <> 'deliveries_set_aside'
          AND conrelid IN ('deliveries'::regclass, 'attempts'::regclass, 'events'::regclass, 'lanes'::regclass) ORDER BY 1`,
    );
    expect(REFUSED.map(([, constraint]) => constraint).sort()).toEqual(rules.map(({ name }) => name));
  });

  it('also when NULL would make a rule of several columns pass', async () => {
    for (const column of ['queued', 'held', 'waiting', 'trips', 'consecutive_failures'])
      await expect(writeLane({ [column]: null }), column).rejects.toMatchObject({ code: '23502', column });
    for (const column of ['tries', 'faults', 'attempts', 'status'])
      await expect(write('deliveries', { [column]: null }), column).rejects.toMatchObject({
        code: '23502',
        column,
      });
  });
});

describe('a row is written', () => {
  it.each(WRITTEN)('%s', async (table, changes) => {
    for (const change of [{}, ...changes].slice(table === 'lanes' ? 1 : 0))
      await expect(write(table, change), JSON.stringify(change)).resolves.toBeDefined();
  });
});

describe('the migration that made the rules shorter', () => {
  let made: Awaited<ReturnType<typeof createTestDatabase>>;
  let other: Database;
  const takeBack = async (): Promise<void> => {
    for (const _ of MIGRATIONS.slice(MIGRATIONS.indexOf(ShortChecks1795737600021)))
      await revertLastMigration(made.url);
  };
  beforeAll(async () => {
    made = await createTestDatabase();
    other = await openDatabase(made.url, 'owner');
  });
  afterAll(async () => {
    await other.close();
    await made.drop();
  });

  it('holds for the days that are there and for those to come', async () => {
    await takeBack();
    await migrate(made.url);
    await other.query('SELECT posthorn_create_partitions(current_date - 40, current_date - 40, 1000)');
    for (const daysAgo of [40, 0, 400]) {
      const id = newId(Date.now() - daysAgo * 86_400_000, systemRandom);
      await expect(insert(other, 'deliveries', { id, place: 'nowhere' })).rejects.toMatchObject({
        constraint: 'deliveries_place_check',
      });
    }
  });

  it('makes nobody wait for long behind a transaction that is open in its way', async () => {
    await takeBack();
    const inTheWay = new pg.Client({ connectionString: made.adminUrl });
    await inTheWay.connect();
    await inTheWay.query('BEGIN; LOCK TABLE events_default IN ROW EXCLUSIVE MODE');
    const migrating = migrate(made.url);
    const waiting = async () =>
      (
        await other.query<{ event: string }>(
          `SELECT wait_event AS event FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'posthorn-migrate' AND state = 'active'`,
        )
      )[0]?.event;
    // It waits, and less than the five seconds that a session of ours would; then it has let go of all that it had.
    await vi.waitFor(async () => expect(await waiting()).toBe('relation'), { timeout: 10_000, interval: 20 });
    await vi.waitFor(async () => expect(await waiting()).toBe('PgSleep'), { timeout: 4_000, interval: 20 });
    await insert(other, 'deliveries', {});
    await inTheWay.query('COMMIT');
    expect(await migrating).toContain(ShortChecks1795737600021.name);
    await inTheWay.end();
  });
});
