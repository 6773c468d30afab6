/**
 * Days are made and dropped while events are published and delivered, first with somebody's long transaction in the way: no
 * statement of the hot path waits more than a second for a lock, nothing pending is dropped, and the default partitions stay empty.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openTables } from '../support/tables.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';

const DAYS = 6;
const ROWS_PER_DAY = 2_000;
const WAIT_MS_MAX = 1_000;

export const row: FaultRow = {
  row: 57,
  name: 'retention-under-load',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok/a'), receiver.url('/slow/50/b')]);
    const worker = await context.startWorker();
    const accepted = await context.publishMany(1);
    await context.settled();
    await makeOldDays();
    const publishers = context.startPublishers({ publishers: 8, pauseMs: 20 });
    await publishers.reach(100);

    let longestMs = 0;
    let watching = true;
    const watch = (async () => {
      while (watching && !context.isClosing) {
        const { ms } = await context.tables.row<{ ms: number }>(
          `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start) * 1000), 0)::float8 AS ms FROM pg_stat_activity
            WHERE datname = current_database() AND application_name IN ('posthorn-api', 'posthorn-worker') AND wait_event_type = 'Lock'`,
        );
        longestMs = Math.max(longestMs, ms);
      }
    })();
    const refusedBehindReader = await tryBehindReader(context);
    const daysMade = await makeDays(context);
    const lockTimeouts = await dropOldDays(context);
    await publishers.more(200);
    watching = false;
    await watch;
    await publishers.stop();
    context.check(
      longestMs < WAIT_MS_MAX,
      `a statement of api or worker waited ${Math.round(longestMs)} ms for a lock`,
    );
    // The day with a pending delivery stays, whole.
    const left = await context.tables.row<{ n: number }>(OLD_PARTITIONS);
    context.check(left.n === 3, 'all days but that of the pending delivery are gone', left);
    const kept = await context.tables.row<{ n: number }>(
      `SELECT count(*)::int AS n FROM deliveries WHERE status = 'pending' AND place = 'held' AND id < posthorn_uuid_floor(now() - interval '10 days')`,
    );
    context.check(kept.n === 1, 'the pending delivery of an old day is still there', kept);
    await context.tables.until(
      `SELECT count(*) = 1 AS ok, count(*)::int AS pending FROM deliveries WHERE status = 'pending'`,
    );
    const figures = await context.invariants({ accepted, answered: publishers.answered, unsettled: true });
    await context.stop(worker);
    return {
      ...figures,
      daysDropped: DAYS - 1,
      daysMade,
      refusedBehindReader,
      lockTimeouts,
      lockWaitMsMax: Math.round(longestMs),
      refusals: publishers.refusals.length,
    };

    /** Copies of today's rows with ids of long ago, by whatever columns they have; one of them is pending and held. */
    async function makeOldDays(): Promise<void> {
      const { tables } = context;
      await tables.rows(
        `SELECT posthorn_create_partitions((now() - interval '30 days')::date, (now() - interval '${31 - DAYS} days')::date, 1000)`,
      );
      const old = (day: string, n: string, salt: number) =>
        `(left(posthorn_uuid_floor(now() - (${day}) * interval '1 day')::text, 14) || '7${salt}00-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`;
      const day = `30 - n % ${DAYS}`;
      const source = `generate_series(1, ${DAYS * ROWS_PER_DAY}) AS n`;
      const like = (table: string, where: string) => `(SELECT t FROM ${table} t ${where} LIMIT 1) AS s`;
      await tables.rows(
        `INSERT INTO events SELECT (jsonb_populate_record(s.t, jsonb_build_object('id', ${old(day, 'n', 1)}, 'matched', 1, 'data', '{}'))).*
           FROM ${source}, ${like('events', '')}`,
      );
      await tables.rows(
        `INSERT INTO deliveries SELECT (jsonb_populate_record(s.t, jsonb_build_object('id', ${old(day, 'n', 2)}, 'event_id', ${old(day, 'n', 1)},
             'status', 'cancelled', 'cancel_reason', 'endpoint_disabled', 'attempts', 0, 'tries', 0))).*
           FROM ${source}, ${like('deliveries', `WHERE status = 'delivered'`)}`,
      );
      // On an endpoint that is paused, so that it stays pending.
      const { id } = await context.client.createEndpoint('c', {
        url: receiver.url('/ok/paused'),
        eventTypes: ['never.sent'],
      });
      await context.client.request('POST', `/v1/subscribers/c/endpoints/${id}/pause`);
      await tables.rows(
        `WITH lane AS (UPDATE lanes SET held = held + 1 WHERE paused_at IS NOT NULL RETURNING endpoint_id)
         UPDATE deliveries SET status = 'pending', place = 'held', cancel_reason = NULL, finished_at = NULL, due_at = now(),
                endpoint_id = (SELECT endpoint_id FROM lane)
          WHERE id = (SELECT id FROM deliveries WHERE status = 'cancelled' ORDER BY id LIMIT 1)`,
      );
    }
  },
};

const OLD_PARTITIONS = `SELECT count(*)::int AS n FROM pg_class WHERE relname ~ '^(events|deliveries|attempts)_[0-9]{8}$'
                           AND right(relname, 8) < to_char(now() - interval '10 days', 'YYYYMMDD')`;

const DROP = `SELECT posthorn_drop_partitions((now() - interval '10 days')::date) AS names`;
const MAKE = `SELECT posthorn_create_partitions((now() + interval '10 days')::date, (now() + interval '12 days')::date, 1) AS made`;
const TRIES_BEHIND_READER = 5;

/** A transaction that has read everything stays open, as a dump's does: each try gives up soon, and nothing is made or dropped. */
async function tryBehindReader(context: FaultContext): Promise<number> {
  const [reader, application] = [openTables(context.databaseUrl), openTables(context.databaseUrl)];
  try {
    await reader.rows('BEGIN; SELECT count(*) FROM deliveries, events, attempts WHERE false');
    for (const statement of [DROP, MAKE])
      for (let tries = 0; tries < TRIES_BEHIND_READER; tries++) {
        const code = await application.rows(statement).then(
          () => 'done',
          (error: { code?: string }) => error.code,
        );
        context.check(code === LOCK_TIMEOUT, 'nothing is made or dropped behind a reader', {
          statement,
          code,
        });
      }
    await reader.rows('COMMIT');
  } finally {
    await Promise.all([reader.close(), application.close()]);
  }
  return 2 * TRIES_BEHIND_READER;
}

/** Days ahead, one partition a transaction, as the worker's loop does it. */
async function makeDays(context: FaultContext): Promise<number> {
  const application = openTables(context.databaseUrl);
  let partitions = 0;
  try {
    for (let made = 1, refused = 0; made > 0;) {
      try {
        const [row] = await application.rows<{ made: number }>(MAKE);
        partitions += made = row.made;
      } catch (error) {
        if ((error as { code?: string }).code !== LOCK_TIMEOUT) throw error;
        context.check(++refused < 100, 'it never gets its locks');
        await delay(100);
      }
    }
  } finally {
    await application.close();
  }
  context.check(partitions === 9, 'three days of three tables are made', { partitions });
  return partitions / 3;
}

const LOCK_TIMEOUT = '55P03';

/** As the worker's loop does it, with the rights of the application, but not ten minutes after a try that gave up. */
async function dropOldDays(context: FaultContext): Promise<number> {
  const application = openTables(context.databaseUrl);
  let lockTimeouts = 0;
  try {
    for (let dropped = 1; dropped > 0;) {
      try {
        const [row] = await application.rows<{ names: string[] }>(DROP);
        dropped = row.names.length;
      } catch (error) {
        if ((error as { code?: string }).code !== LOCK_TIMEOUT) throw error;
        context.check(++lockTimeouts < 100, 'it never gets its locks');
        await delay(100);
      }
    }
  } finally {
    await application.close();
  }
  return lockTimeouts;
}
