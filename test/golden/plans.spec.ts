/**
 * Real: PostgreSQL with three days of history, analyzed, and the planner's settings of each kind of connection. Proves: every
 * statement that runs often walks the indexes that the golden file names; no index of the large tables can be lost unnoticed;
 * and each has a reader. (Rows touched, without statistics: test/integration/hot-plans.spec.ts.)
 */
import { readdirSync, readFileSync } from 'node:fs';
import { DELIVER_QUEUE, STAFF } from '@app/contracts';
import { uuidFloor, type DeliveryStatus } from '@app/domain';
import * as sql from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase } from '../support/fixtures.js';
import { expectGolden } from '../support/golden.js';

type Connection = 'hot' | 'claim' | 'list' | 'plain';
interface Statement {
  label: string;
  on: Connection;
  text: string;
  /** None: as a prepared statement is planned, for any values. */
  values: unknown[] | null;
}

const DAY_MS = 86_400_000;
// Not today: midnight may pass.
const DAYS = [1, 2, 3];
const ROWS_A_DAY = 4000;

let database: sql.Database;
let client: pg.Client;
let queue: DeliverQueue;
let drop: () => Promise<void>;
const settings = new Map<Connection, Record<string, string>>();
/** Indexes and tables of the seeded days, by the name of what they are a part of. */
let parentOf: Map<string, string>;
let statements: Statement[];

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = await openDatabase(created.url);
  client = new pg.Client({ connectionString: created.url });
  await client.connect();
  await seed();
  queue = new DeliverQueue(asked(), {
    supervise: false,
    on: () => undefined,
  });
  await readSettings();
  statements = await allStatements();
});
afterAll(async () => {
  await queue.stop();
  await client.end();
  await database.close();
  await drop();
});

it('every prepared statement of the sources is looked at here', () => {
  const named = [...sources('libs'), ...sources('apps')].flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/\b(?:prepared(?:Cells)?(?:<[^(]*?>)?|inBothForms)\(\s*'([a-z0-9_]+)'/g)].map(([, name]) => name),
  );
  expect(named.length).toBeGreaterThan(20);
  const seen = statements.map(({ label }) => label);
  expect(named.filter((name) => !seen.includes(name))).toEqual([]);
});

it('no hot statement is shared out among processes, however cheap that looks', async () => {
  await client.query('BEGIN');
  try {
    for (const name of ['parallel_setup_cost', 'parallel_tuple_cost', 'min_parallel_index_scan_size', 'min_parallel_table_scan_size'])
      await client.query(`SET LOCAL ${name} = 0`);
    const shared = (plan: Plan): boolean => plan['Node Type'].startsWith('Gather') || (plan.Plans ?? []).some(shared);
    for (const statement of statements.filter(({ on }) => on === 'hot' || on === 'claim'))
      expect(shared(await planOf(statement)), statement.label).toBe(false);
  } finally {
    await client.query('ROLLBACK');
  }
});

it('statements walk the indexes of the golden file, and no large table', async () => {
  const shapes = await shapesOf(statements);
  expectGolden('test/golden/plans.txt', [...shapes].map(([label, shape]) => `${label}: ${shape}\n`).join(''));
  for (const [label, shape] of shapes)
    expect(shape, label).not.toMatch(/\b(events|deliveries|attempts|endpoints|subscribers) whole\b/);
});

it('each index of the large tables is missed when it is gone', { timeout: 60_000 }, async () => {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass) AND NOT i.indisprimary ORDER BY 1`,
  );
  const before = await shapesOf(statements);
  for (const { name } of rows) {
    const readers = statements.filter(({ label }) => before.get(label)!.split(/ by |, /).includes(name));
    expect(readers.length, `${name} has no reader`).toBeGreaterThan(0);
    // One reader tells.
    const [reader] = readers;
    const without = await shapesOf([reader], `DROP INDEX ${name}`);
    expect(without.get(reader.label), `${reader.label} without ${name}`).not.toBe(before.get(reader.label));
  }
});

const STATUSES: (DeliveryStatus | undefined)[] = [undefined, 'pending', 'delivered', 'failed', 'cancelled'];

it('each combination of filters of a list walks its one index, in the days that are asked for', async () => {
  const [subscriberId, endpointId] = ids(7);
  const of = <T>(value: T): (T | undefined)[] => [undefined, value];
  const window = { since: daysAgo(2), until: daysAgo(1) };
  for (const status of STATUSES)
    for (const subscriber of of(subscriberId))
      for (const endpoint of of(endpointId))
        for (const failure of of('timeout'))
          for (const eventType of of('a.rare'))
            for (const within of of(window)) {
              const filter = { status, subscriberId: subscriber, endpointId: endpoint, failure, eventType, ...within };
              const text = await listed((reader) => sql.listDeliveries(reader, STAFF, filter, { limit: 50 }));
              const shape = await shapeOf(text);
              expect(shape, JSON.stringify(filter)).toBe(`${readsOf(filter)}, lanes by lanes_pkey`);
              const plan = JSON.stringify(await planOf(text));
              for (const day of DAYS) expect(plan.includes(dayName(day))).toBe(!within || day === 2);
            }
});

it('so do the batches of a replay and its count, oldest first', async () => {
  const [subscriberId, endpointId] = ids(7);
  const window = { since: daysAgo(2), until: daysAgo(1) };
  const of = <T>(value: T): (T | null)[] => [null, value];
  for (const status of ['delivered', 'failed', 'cancelled'] as const)
    for (const subscriber of of(subscriberId))
      for (const endpoint of of(endpointId))
        for (const eventType of of('a.rare')) {
          const filter = { status, subscriberId: subscriber, endpointId: endpoint, eventType, ...window };
          const batch = { ...filter, createdAt: new Date(), afterId: uuidFloor(window.since.getTime() + 1000) };
          for (const read of [
            (reader: sql.Database) => sql.replaysRepository.nextBatch(reader, STAFF, batch as never, 500),
            (reader: sql.Database) => sql.replaysRepository.countMatching(reader, STAFF, filter, null),
          ]) {
            const text = await listed(read);
            expect(await shapeOf(text), JSON.stringify(filter)).toBe(readsOf(filter));
            const plan = JSON.stringify(await planOf(text));
            for (const day of DAYS) expect(plan.includes(dayName(day))).toBe(day === 2);
          }
        }
});

/** That an endpoint is the subscriber's is asked once. */
function readsOf(filter: Parameters<typeof indexOf>[0]): string {
  const owner = filter.subscriberId && filter.endpointId ? ', endpoints by endpoints_pkey' : '';
  return `deliveries by ${indexOf(filter)}${owner}`;
}

function indexOf(filter: { status?: string; subscriberId?: string | null; endpointId?: string | null; failure?: string }): string {
  const failed = filter.status === 'failed';
  if (filter.endpointId) return failed ? 'deliveries_failed_endpoint' : 'deliveries_endpoint';
  if (filter.subscriberId) return failed ? 'deliveries_failed' : 'deliveries_subscriber';
  if (filter.failure) return 'deliveries_failed_class';
  return failed ? 'deliveries_failed_all' : 'deliveries_pkey';
}

// --- What is asked ---

let collected: Statement[] = [];
let current = '';

function add(label: string, on: Connection, text: string, values: unknown[] | null): Promise<never[]> {
  // A loop's second statement is its own row.
  const again = collected.filter((each) => each.label.split(' ')[0] === label).length;
  collected.push({ label: again > 0 ? `${label} ${again + 1}` : label, on, text, values });
  return Promise.resolve([]);
}

/** Something that is asked like a database, and answers nothing. */
function asked(): sql.Database {
  const executeSql = async (text: string, values: unknown[]) => ({ rows: await database.query(text, values) });
  const prepared = (name: string, text: string) => add(name, 'hot', text, null);
  return {
    prepared,
    preparedCells: prepared,
    query: (text: string, values: unknown[]) => add(current, 'plain', text, values),
    list: (text: string, values: unknown[]) => add(current, 'list', text, [...values]),
    queue: { executeSql },
    claims: { query: ({ name, text }: pg.QueryConfig) => add(`${name}`, 'claim', text, null).then(() => ({ rows: [] })) },
    vault: database.vault,
  } as unknown as sql.Database;
}

async function listed(read: (reader: sql.Database) => Promise<unknown>): Promise<Statement> {
  collected = [];
  current = 'list';
  await read(asked()).catch(() => undefined);
  return collected[0];
}

async function allStatements(): Promise<Statement[]> {
  collected = [];
  const on = asked();
  const tx = on as unknown as sql.Tx;
  const [subscriberId, endpointId, deliveryId, eventId] = ids(7);
  const empty = { states: new Map() };
  const { lanesRepository: lanes } = sql;
  const hot: (() => Promise<unknown>)[] = [
    () => Promise.allSettled([...sql.rehearseAccepting(tx), ...sql.rehearseDelivering(tx)]),
    () => sql.acceptRepository.takeRoom(tx, new Map()),
    () => queue.insert(tx, [{ deliveryId, endpointId, priority: 1 }], { notify: false }),
    () =>
      sql.laneStateRepository.addTransitions(tx, [
        { id: deliveryId, subscriberId, endpointId, at: new Date(), transition: { kind: 'circuit_closed' } },
      ]),
    () =>
      sql.noticesRepository.add(tx, [
        { id: deliveryId, subscriberId, endpointId, kind: 'delivery.failed', deliveryId, detail: {} },
      ] as unknown as sql.NewNotice[]),
    () => lanes.lockDueRetries(tx, [endpointId], 1000),
    () => sql.rateRepository.lock(tx, []),
    () => sql.rateRepository.write(tx, empty.states),
    () => sql.requestLimitsRepository.giveBack(on, 'x'),
    () => new sql.ApiKeysRepository(on).findById(deliveryId),
    () => new sql.ApiKeysRepository(on).findChosen(Buffer.alloc(32)),
    () => sql.accessTokensRepository.findById(on, deliveryId),
  ];
  for (const send of hot) await send().catch(() => undefined);

  const span = { since: daysAgo(3), until: daysAgo(1) };
  const replay = { subscriberId, endpointId, eventType: null, status: 'failed' as const, ...span };
  const others: Record<string, () => Promise<unknown>> = {
    'loop findStalled': () => lanes.findStalled(on, null, 100),
    'loop findInexact': () => lanes.findInexact(on, 100),
    'loop correct': () => lanes.correct(tx, endpointId),
    'loop findTicketless': () => lanes.findTicketless(tx, 1000),
    'loop anyStopped': () => lanes.anyStopped(tx, false),
    'loop lockStopped': () => lanes.lockStopped(tx, false, 1000),
    'loop lockLongStopped': () => lanes.lockStopped(tx, true, 1000),
    'loop findShut': () => lanes.findShut(on, 100),
    'loop findExpired': () => lanes.findExpired(on, 1000, 100),
    'loop pending': () => lanes.pending(on),
    'loop figures': () => lanes.figures(on),
    'loop findProbes': () => sql.laneStateRepository.findProbes(on, 100),
    'loop findLostProbes': () => sql.laneStateRepository.findLostProbes(on, 100),
    'list deliveries': () => sql.listDeliveries(on, STAFF, {}, { limit: 50 }),
    'list of a subscriber': () => sql.listDeliveries(on, STAFF, { subscriberId }, { limit: 50 }),
    'list of an endpoint': () => sql.listDeliveries(on, STAFF, { endpointId }, { limit: 50 }),
    'list failed': () => sql.listDeliveries(on, STAFF, { status: 'failed' }, { limit: 50 }),
    'list failed of a subscriber': () =>
      sql.listDeliveries(on, STAFF, { status: 'failed', subscriberId }, { limit: 50 }),
    'list failed of an endpoint': () =>
      sql.listDeliveries(on, STAFF, { status: 'failed', endpointId }, { limit: 50 }),
    'list of a class': () => sql.listDeliveries(on, STAFF, { failure: 'timeout', ...span }, { limit: 50 }),
    'list events': () => sql.listEvents(on, STAFF, { type: 'a.b' }, { limit: 50 }),
    'list events of a subscriber': () => sql.listEvents(on, STAFF, { subscriberId }, { limit: 50 }),
    'timeline delivery': () => sql.findDelivery(on, STAFF, deliveryId),
    'timeline attempts': () => sql.attemptsOfDelivery(on, STAFF, deliveryId, daysAgo(2)),
    'timeline contents': () => sql.contentsOfDelivery(on, { subscriberId, eventId, endpointId }),
    'timeline claimed': () => sql.findClaimed(on, [deliveryId]),
    'timeline explained': () => sql.factsOfDelivery(on, STAFF, deliveryId, uuidFloor(daysAgo(2).getTime())),
    'timeline transitions': () => sql.laneTransitions(on, subscriberId, endpointId, 50),
    'health of an endpoint': () => sql.laneHealth(on, subscriberId, endpointId),
    'health blocked keys': () => sql.blockedKeys(on, subscriberId, endpointId, 50),
    'endpoints of a subscriber': () => sql.endpointsRepository.list(on, STAFF, subscriberId, { limit: 50 }),
    'endpoints missed': () => sql.endpointsRepository.missed(tx, subscriberId, endpointId, daysAgo(1), 1000),
    'subscribers list': () => sql.subscribersRepository.list(on, STAFF, { limit: 50 }),
    'replay count': () => sql.replaysRepository.countMatching(on, STAFF, replay, null),
    'replay batch': () => sql.replaysRepository.nextBatch(on, STAFF, { ...replay, createdAt: new Date() } as never, 500),
    'event deliveries': () => sql.deliveriesOfEvent(on, STAFF, eventId, span, 500),
    'event counts': () => sql.countDeliveriesOfEvents(on, STAFF, [eventId], span),
  };
  for (const [label, send] of Object.entries(others)) {
    current = label.replaceAll(' ', '_');
    await send().catch(() => undefined);
  }
  await queue.start();
  await queue.claim(64, []);
  const found = collected;
  collected = [];
  return found;
}

// --- Plans ---

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Parent Relationship'?: string;
  Plans?: Plan[];
}

async function planOf({ on, text, values }: Statement): Promise<Plan> {
  const planner = settings.get(on)!;
  await client.query(`SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS s (name, value)`, [
    Object.keys(planner),
    Object.values(planner),
  ]);
  const explain = values === null ? 'EXPLAIN (GENERIC_PLAN, COSTS OFF, FORMAT JSON)' : 'EXPLAIN (COSTS OFF, FORMAT JSON)';
  const answer = await (values === null
    ? client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(`${explain} ${text}`)
    : client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(`${explain} ${text}`, values));
  return answer.rows[0]['QUERY PLAN'][0].Plan;
}

/** Which tables it reads by which indexes. Days that nobody has filled do not count: there every plan is as good. */
function tablesRead(plan: Plan): Set<string> {
  const found = new Set<string>();
  const look = (node: Plan): void => {
    const index = node['Index Name'];
    const table = node['Relation Name'];
    const isBitmap = node['Node Type'] === 'Bitmap Heap Scan' || node['Node Type'] === 'ModifyTable';
    if (index !== undefined && parentOf.has(index)) found.add(parentOf.get(index)!);
    else if (index === undefined && table !== undefined && !isBitmap && parentOf.has(table))
      found.add(`${parentOf.get(table)} whole`);
    node.Plans?.forEach(look);
  };
  look(plan);
  return found;
}

async function shapeOf(statement: Statement): Promise<string> {
  return (await shapesOf([statement])).get(statement.label)!;
}

/** All in one transaction that comes to nothing, with the owner's rights: what the worker's policies say is `true`. */
async function shapesOf(asked: Statement[], first = ''): Promise<Map<string, string>> {
  const shapes = new Map<string, string>();
  await client.query(`BEGIN; ${first}`);
  try {
    for (const statement of asked)
      shapes.set(statement.label, [...tablesRead(await planOf(statement))].sort().join(', '));
  } finally {
    await client.query('ROLLBACK');
  }
  return shapes;
}

async function readSettings(): Promise<void> {
  const text = `SELECT name, setting FROM pg_settings WHERE name LIKE 'enable_%' OR name IN ('random_page_cost', 'plan_cache_mode', 'max_parallel_workers_per_gather')`;
  type Rows = { name: string; setting: string }[];
  const keep = (on: Connection, rows: Rows) =>
    settings.set(on, Object.fromEntries(rows.map(({ name, setting }) => [name, setting])));
  keep('plain', await database.query(text));
  keep('hot', await database.prepared('settings', text, []));
  keep('list', await database.list(text, []));
  keep('claim', (await database.claims.query<Rows[number]>(text)).rows);
}

// --- What is stored ---

function daysAgo(days: number): Date {
  return new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - days * DAY_MS);
}
function dayName(days: number): string {
  return daysAgo(days).toISOString().slice(0, 10).replaceAll('-', '');
}

/** Subscriber, endpoint, delivery and event of a row of the first day. */
function ids(n: number): string[] {
  const at = (days: number, kind: string): string =>
    `${uuidFloor(daysAgo(days).getTime() + 1000).slice(0, 14)}7${kind}00-8000-${n.toString(16).padStart(12, '0')}`;
  return [at(9, '0'), at(9, '1'), at(1, '2'), at(1, '3')];
}

async function seed(): Promise<void> {
  const uuid = (days: string, kind: number, n: string) =>
    `(left(posthorn_uuid_floor(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - ${days} * interval '1 day' + interval '1 second')::text, 14)
      || '7${kind}00-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`;
  const rows = `generate_series(1, ${ROWS_A_DAY}) AS n, unnest(ARRAY[${DAYS.join(', ')}]) AS day`;
  const owner = `${uuid('9', 0, '1 + n % 2000')} AS subscriber, ${uuid('9', 1, '1 + n % 2000')} AS endpoint`;
  await client.query(`
    SELECT posthorn_create_partitions((now() AT TIME ZONE 'UTC')::date - 5, (now() AT TIME ZONE 'UTC')::date, 1000);
    INSERT INTO subscribers (id, external_id, name) SELECT ${uuid('9', 0, 'n')}, 'c' || n, 'x' FROM generate_series(1, 2000) n;
    INSERT INTO endpoints (id, subscriber_id, url, event_types)
      SELECT ${uuid('9', 1, 'n')}, ${uuid('9', 0, 'n')}, 'https://example.com/', '{*}' FROM generate_series(1, 2000) n;
    INSERT INTO data_keys (subscriber_id, kek_id, wrapped) SELECT id, 'a', decode(repeat('00', 61), 'hex') FROM subscribers;
    INSERT INTO lanes (endpoint_id, subscriber_id) SELECT id, subscriber_id FROM endpoints;
    INSERT INTO events (id, subscriber_id, type, version, data, matched, occurred_at)
      SELECT ${uuid('day', 3, 'n')}, s.subscriber, 'a.b', '1', '{}', 1, now() FROM ${rows}, LATERAL (SELECT ${owner}) s;
    INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, place, trigger, due_at, finished_at, failure,
                            gave_up, ordering_key, seq)
      SELECT ${uuid('day', 2, 'n')}, s.subscriber, ${uuid('day', 3, 'n')}, s.endpoint, 'a.b', t.status,
             CASE t.status WHEN 'pending' THEN (ARRAY['queued', 'held', 'waiting'])[1 + n % 3] END, 'event',
             CASE t.status WHEN 'pending' THEN now() END, CASE WHEN t.status <> 'pending' THEN now() END,
             CASE t.status WHEN 'failed' THEN (ARRAY['timeout', 'http_5xx', 'tls'])[1 + n / 50 % 3] END,
             CASE t.status WHEN 'failed' THEN 'permanent' END, CASE WHEN n % 7 = 0 THEN 'k' || n END, n
        FROM ${rows}, LATERAL (SELECT ${owner}) s,
             LATERAL (SELECT CASE WHEN n % 50 = 0 THEN 'failed' WHEN day = 1 AND n % 20 = 1 THEN 'pending' ELSE 'delivered' END AS status) t;
    INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, url, scheduled_at, started_at, finished_at,
                          total_ms, worker)
      SELECT ${uuid('day', 4, 'n')}, s.subscriber, ${uuid('day', 2, 'n')}, s.endpoint, 1, 'event', 'delivered', 'https://example.com/',
             now(), now(), now(), 5, 'w' FROM ${rows}, LATERAL (SELECT ${owner}) s;
    INSERT INTO ordering_keys (endpoint_id, subscriber_id, key)
      SELECT endpoint_id, subscriber_id, ordering_key FROM deliveries WHERE status = 'pending' AND ordering_key IS NOT NULL`);
  await database.query(
    `INSERT INTO pgboss.job (id, name, data, group_id, state, start_after, created_on)
     SELECT id, $1, '{}'::jsonb, endpoint_id::text, (CASE place WHEN 'queued' THEN 'active' ELSE 'created' END)::pgboss.job_state, now(), now()
       FROM deliveries WHERE place IN ('queued', 'waiting')
     UNION ALL SELECT ${uuid('1', 9, 'n')}, $1, '{}'::jsonb, ${uuid('9', 1, '1 + n % 2000')}::text, 'created'::pgboss.job_state, now(), now()
       FROM generate_series(1, ${ROWS_A_DAY}) n`,
    [DELIVER_QUEUE],
  );
  await client.query('ANALYZE');
  const { rows: named } = await client.query<{ name: string; parent: string }>(
    `WITH tables AS (
       SELECT c.oid, c.relname AS name, coalesce(p.relname, c.relname)::text AS parent FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
         LEFT JOIN pg_class p ON p.oid = i.inhparent
        WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'pgboss'::regnamespace)
          AND (c.relname !~ '_([0-9]{8}|default)$' OR c.relname ~ ('_(' || $1 || ')$')))
     SELECT name, parent FROM tables
     UNION ALL
     SELECT c.relname, t.parent || ' by ' || coalesce(p.relname::text, CASE WHEN t.parent = 'job' THEN regexp_replace(pg_get_indexdef(c.oid), '^.* USING btree ', '') END, c.relname)
       FROM tables t JOIN pg_index x ON x.indrelid = t.oid
       JOIN pg_class c ON c.oid = x.indexrelid LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent`,
    [DAYS.map(dayName).join('|')],
  );
  parentOf = new Map(named.map(({ name, parent }) => [name, parent]));
}

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .map((file) => `${directory}/${file}`);
}
