/**
 * Real: PostgreSQL with four days of history, pg-boss's tables. Timeline: of 20,000 deliveries three match, one of the second day and two
 * of the last; a replay of them is run round by round, each by another runner. Proves: a round reads a bounded number of rows, whatever
 * is asked for and however little matches; where it is, is kept; the replay ends, with each that matched made pending once.
 */
import 'reflect-metadata';
import { STAFF, type Scope } from '@app/contracts';
import { ReplayRunner, Replays, StartReplay, type ReplayRequest, type ReplayRound } from '@app/console';
import { fromPublicId, systemClock, systemRandom, uuidFloor, type Clock } from '@app/domain';
import {
  inScopes,
  listDeliveries,
  LOOKED_AT_MAX,
  replaysRepository,
  type Database,
  type Tx,
} from '@app/persistence';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

const DAY_MS = 86_400_000;
const DAYS = [4, 3, 2, 1];
const A_DAY = LOOKED_AT_MAX;
/** Day and number. */
const RARE: [number, number][] = [
  [3, 700],
  [1, 4000],
  [1, 4001],
];
// One row for each that was looked at, a few for the resend and for where a day begins.
const READ_MAX = LOOKED_AT_MAX + 100;

let database: Database;
let road: Pipeline;
let drop: () => Promise<void>;
let url: string;
let customer: Fixture;
const startReplay = new StartReplay(systemClock, systemRandom);

// Once: midnight may pass.
const TODAY_MS = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const startOf = (daysAgo: number): Date => new Date(TODAY_MS - daysAgo * DAY_MS);
const idOf = (daysAgo: number, n: number): string =>
  `${uuidFloor(startOf(daysAgo).getTime() + n).slice(0, 14)}7000-8000-${n.toString(16).padStart(12, '0')}`;
const RARE_IDS = RARE.map(([daysAgo, n]) => idOf(daysAgo, n));

beforeAll(async () => {
  const created = await createTestDatabase();
  ({ drop, url } = created);
  database = await openDatabase(created.url);
  road = await startPipeline(database, created.url);
  customer = await registerSubscriber(database, ['https://example.com/a']);
  const owner = await openDatabase(created.url, 'owner');
  await owner.query(
    `SELECT posthorn_create_partitions((now() AT TIME ZONE 'UTC')::date - 5, (now() AT TIME ZONE 'UTC')::date, 1000)`,
  );
  await owner.close();
  const [endpointId] = customer.endpointIds;
  for (const daysAgo of DAYS)
    await database.query(
      `INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, status, trigger, finished_at, updated_at)
       SELECT id, $1, id, $2, 'thing.happened', 'delivered', 'event', now(), now()
         FROM unnest($3::uuid[]) AS d (id)`,
      [customer.subscriberId, endpointId, Array.from({ length: A_DAY }, (_, n) => idOf(daysAgo, n))],
    );
  await database.query(
    `INSERT INTO events (id, subscriber_id, type, version, data, matched, occurred_at)
     SELECT id, $1, 'thing.happened', '1', '{}', 1, now() FROM unnest($2::uuid[]) AS e (id)`,
    [customer.subscriberId, RARE_IDS],
  );
});
afterAll(async () => {
  await road.stop();
  await database.close();
  await drop();
});

/** Whatever a test did, three are rare again. */
beforeEach(async () => {
  await database.query(`UPDATE replays SET state = 'cancelled', finished_at = now() WHERE state = 'running'`);
  await database.query('DELETE FROM pgboss.job WHERE id = ANY($1)', [RARE_IDS]);
  await database.query(
    `UPDATE deliveries SET status = 'cancelled', place = NULL, due_at = NULL, cancel_reason = 'by_staff', event_type = 'thing.happened',
            failure = NULL, gave_up = NULL, finished_at = now(), updated_at = now() - interval '1 second' WHERE id = ANY($1)`,
    [RARE_IDS],
  );
});

function ask(overrides: Partial<ReplayRequest>): ReplayRequest {
  const since = startOf(5);
  const until = startOf(0);
  return {
    subscriberId: null,
    endpointId: null,
    eventType: null,
    status: 'cancelled',
    since,
    until,
    dryRun: false,
    ...overrides,
  };
}

/** Rows of deliveries that this transaction has read, and some of those before it. */
async function readSoFar(tx: Tx): Promise<number> {
  const [sum] = await tx.query<{ read: number }>(
    `SELECT sum(idx_tup_fetch + seq_tup_read)::int AS read FROM pg_stat_xact_all_tables
      WHERE relid IN (SELECT relid FROM pg_partition_tree('deliveries') WHERE isleaf)`,
  );
  return sum.read;
}

/** Each round is of a new runner, as after a kill -9; with the rows of deliveries that its transaction read. */
async function runToEnd(): Promise<(ReplayRound & { read: number })[]> {
  const rounds: (ReplayRound & { read: number })[] = [];
  for (let round; (round = await runOnce()) !== null;) rounds.push(round);
  return rounds;
}

async function runOnce(): Promise<(ReplayRound & { read: number }) | null> {
  let read = 0;
  const counting = {
    query: database.query.bind(database),
    transaction: <T>(work: (tx: Tx) => Promise<T>) =>
      database.transaction(async (tx) => {
        const before = await readSoFar(tx);
        const result = await work(tx);
        read = (await readSoFar(tx)) - before;
        return result;
      }),
  };
  const round = await new ReplayRunner(counting as unknown as Database, road.queue).runOnce();
  return round && { ...round, read };
}

const start = (request: ReplayRequest) => database.transaction((tx) => startReplay.start(tx, STAFF, request));
const show = (id: string | null) => new Replays(database).one(STAFF, fromPublicId('rpl', id!)!);

describe('a replay of few among many', () => {
  it.each([
    ['of everybody', () => ({})],
    ['of a subscriber', () => ({ subscriberId: customer.subscriberId })],
    ['of an endpoint', () => ({ endpointId: customer.endpointIds[0] })],
    ['of both', () => ({ subscriberId: customer.subscriberId, endpointId: customer.endpointIds[0] })],
  ])('%s reads a bounded number of rows a round, and ends', async (_, filter) => {
    const { id, matched } = await start(ask(filter()));
    expect(matched).toBe(3);
    const rounds = await runToEnd();
    for (const { read } of rounds) expect(read).toBeLessThan(READ_MAX);
    expect(rounds.map(({ resent, state }) => ({ resent, state }))).toEqual([
      { resent: 0, state: 'running' },
      { resent: 1, state: 'running' },
      { resent: 0, state: 'running' },
      { resent: 2, state: 'running' },
      { resent: 0, state: 'done' },
    ]);
    expect(await show(id)).toMatchObject({ state: 'done', matched: 3, resent: 3, skipped: 0 });
    expect(
      await database.query('SELECT id FROM deliveries WHERE replay_id = $1 AND status = $2 ORDER BY id', [
        fromPublicId('rpl', id!),
        'pending',
      ]),
    ).toEqual(RARE_IDS.map((rareId) => ({ id: rareId })));
  });

  it('that failed reads no more than what failed', async () => {
    await database.query(
      `UPDATE deliveries SET status = 'failed', cancel_reason = NULL, failure = 'timeout', gave_up = 'permanent' WHERE id = ANY($1)`,
      [RARE_IDS],
    );
    await start(ask({ status: 'failed' }));
    const rounds = await runToEnd();
    expect(rounds).toMatchObject([{ resent: 3, state: 'done' }]);
    expect(rounds[0].read).toBeLessThan(100);
  });

  it('that cannot be counted while somebody waits says how far the count came, and counts on as it runs', async () => {
    const slow: Clock = { now: () => new Date((nowMs += 2000)) };
    let nowMs = Date.now();
    const request = ask({ endpointId: customer.endpointIds[0] });
    const starting = new StartReplay(slow, systemRandom);
    const startSlowly = (asked: ReplayRequest) =>
      database.transaction((tx) => starting.start(tx, STAFF, asked));
    // The first day, the second, and then the time is over.
    const countedTo = new Date(startOf(3).getTime() + A_DAY - 1);
    const answer = { matched: 1, countedTo };
    expect(await startSlowly({ ...request, dryRun: true })).toEqual({
      id: null,
      ...answer,
      alreadyRunning: false,
    });
    const { id, ...started } = await startSlowly(request);
    expect(started).toEqual({ ...answer, alreadyRunning: false });
    expect(await start(request)).toEqual({ id, ...answer, alreadyRunning: true });
    expect(await show(id)).toMatchObject({ state: 'running', ...answer, lookedTo: null });

    await runOnce();
    expect(await show(id)).toMatchObject({
      ...answer,
      resent: 0,
      lookedTo: new Date(startOf(4).getTime() + A_DAY - 1),
    });
    await runToEnd();
    expect(await show(id)).toMatchObject({
      state: 'done',
      matched: 3,
      resent: 3,
      countedTo: null,
      lookedTo: request.until,
    });
  });

  it('is cancelled when it was not counted and has moved the most that one may; a counted one is not', async () => {
    for (const [countedTo, wanted] of [
      [startOf(3), { state: 'cancelled', resent: 2, countedTo: startOf(3), finishedAt: expect.any(Date) }],
      [null, { state: 'done', resent: 1 }],
    ] as const) {
      const { id } = await start(ask({ endpointId: customer.endpointIds[0] }));
      await database.query('UPDATE replays SET counted_to = $2 WHERE id = $1', [
        fromPublicId('rpl', id!),
        countedTo,
      ]);
      while ((await new ReplayRunner(database, road.queue, 1, countedTo ? 2 : 1).runOnce()) !== null);
      expect(await show(id)).toMatchObject(wanted);
    }
  });

  it('of an endpoint of somebody else reads nothing, and neither does a list', async () => {
    const other = await registerSubscriber(database, []);
    const bound: Scope = { kind: 'subscriber', subscriberId: other.subscriberId };
    const [endpointId] = customer.endpointIds;
    for (const [scope, subscriberId] of [
      [STAFF, other.subscriberId],
      [bound, null],
    ] as const) {
      const request = ask({ endpointId, subscriberId });
      await database.transaction(async (tx) => {
        const before = await readSoFar(tx);
        expect(await startReplay.start(tx, scope, request)).toMatchObject({ matched: 0 });
        const filter = { endpointId, subscriberId: subscriberId ?? undefined };
        expect((await listDeliveries(tx, scope, filter, { limit: 50 })).rows).toEqual([]);
        expect((await readSoFar(tx)) - before).toBe(0);
      });
      expect(await runToEnd()).toMatchObject([{ state: 'done', read: 0 }]);
    }
  });

  it('is counted in looks as short, by a customer behind the policies of the api, too', async () => {
    const api = await openDatabase(url, 'api');
    const bound: Scope = { kind: 'subscriber', subscriberId: customer.subscriberId };
    await inScopes([bound], () =>
      api.transaction(async (tx) => {
        let before = await readSoFar(tx);
        for (let after: string | null = null, looks = 1; ; looks++) {
          const part = await replaysRepository.countMatching(tx, bound, ask({}), after);
          const now = await readSoFar(tx);
          expect(now - before).toBeLessThan(READ_MAX);
          before = now;
          after = part.lookedTo;
          if (after !== null) continue;
          expect(looks).toBe(DAYS.length + 1);
          break;
        }
      }),
    );
    await api.close();
  });

  it('reads no further than its batch where all match', async () => {
    await start(ask({ endpointId: customer.endpointIds[0], status: 'delivered' }));
    await database.transaction(async (tx) => {
      const replay = (await replaysRepository.claim(tx))!;
      const before = await readSoFar(tx);
      const { ids, lookedTo } = await replaysRepository.nextBatch(tx, STAFF, replay, 500);
      expect((await readSoFar(tx)) - before).toBe(500);
      expect(ids).toEqual(Array.from({ length: 500 }, (_, n) => idOf(4, n)));
      expect(lookedTo).toBe(idOf(4, 499));
    });
  });

  it('leaves the planner of the rest of its transaction as it was', async () => {
    const settings = `SELECT name, setting FROM pg_settings WHERE name LIKE 'enable_%' OR name = 'random_page_cost' ORDER BY 1`;
    await database.transaction(async (tx) => {
      const before = await tx.query(settings);
      expect(await tx.list(settings, [])).not.toEqual(before);
      expect(await tx.query(settings)).toEqual(before);
    });
  });
});
