import { DELIVER_QUEUE } from '@app/contracts';
import type { Trigger } from '@app/domain';
import { arrayOf } from './array-of.js';
import { boundsOf } from './bounds-of.js';
import { instantOf, isTrue, type Cells } from './cells.js';
import type { Tx } from './database.js';
import { formOf, given, inBothForms } from './given.js';

/** One request that was made, as the attempts table keeps it. */
export interface AttemptRecord {
  id: string;
  status: 'delivered' | 'failed';
  url: string;
  startedAt: Date;
  finishedAt: Date;
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
  firstByteMs: number | null;
  totalMs: number;
  statusCode: number | null;
  failure: string | null;
  failureDetail: string | null;
  note: string | null;
  remoteAddress: string | null;
  /** JSON text of an object, name to value. */
  responseHeaders: string | null;
  responseBody: string | null;
  responseEncoding: 'utf8' | 'base64' | null;
  responseTruncated: boolean;
  /** The three in one, sealed; they are null then. */
  responseSealed?: Buffer | null;
}

export type DueBecause = 'retry_schedule' | 'retry_after' | 'platform_fault' | 'rate_limit' | 'retry_budget';

/** What becomes of one claimed job. */
export interface OutcomeRecord {
  deliveryId: string;
  subscriberId: string;
  endpointId: string;
  /** The ticket as it was loaded, and the attempt of its job as it was claimed: together the fence. */
  ticket: number;
  retryCount: number;
  next:
    | { status: 'delivered' }
    | { status: 'failed'; failure: string; gaveUp: string }
    | { status: 'cancelled'; reason: string }
    /** Again after so many seconds. */
    | {
        status: 'pending';
        place: 'queued' | 'waiting' | 'held';
        inSeconds: number;
        /** Why then. */
        because?: DueBecause;
      };
  attempt: AttemptRecord | null;
  /** The attempt counts against the retry schedule: a fault of ours does not. */
  burnsTry: boolean;
  worker: string;
}

/** How a row took its outcome: `applied` unless somebody else had moved the delivery on. */
export interface RecordedOutcome {
  id: string;
  applied: boolean;
  oldPlace: 'queued' | 'held' | 'waiting' | null;
  /** The number of the attempt, when one was made. */
  n: number;
}

/** What a settled group changes in one lane. */
export interface LaneChange {
  endpointId: string;
  queued: number;
  held: number;
  waiting: number;
  /** Receivers that answered well in this group. */
  successes: number;
  /** Something else happened too that the lane has to learn, so its window and circuit are not changed here. */
  troubled: boolean;
}

/** How many held deliveries a lane may promote now, and whether it has to be told what happened. */
export interface LaneRoom {
  endpointId: string;
  /** Fills its window; 0 until half of it is empty. */
  promote: number;
  /** As many as it has room for, be it one. */
  room: number;
  /** Its state is more than counts: see lane-signals.ts. */
  attentive: boolean;
}

/** A lane as whoever promotes finds it. */
export interface RoomToPromote {
  endpointId: string;
  room: number;
  /** Half of its window is empty: it is filled. */
  refill: boolean;
  mine: boolean;
}

export interface HeldDelivery {
  id: string;
  endpointId: string;
  dueAt: Date;
  trigger: Trigger;
  critical: boolean;
}

/** Older than this, the oldest of what a lane holds has waited through an outage: a backlog. */
export const BACKLOG_AGE_SECONDS = 60;

const IS_OPEN = `l.paused_at IS NULL AND l.circuit = 'closed'`;
const ROOM = 'greatest(least(l.held, l.window_size - l.queued), 0)';

const OUTCOME = given<OutcomeRecord>([
  ['id', 'uuid', (o) => o.deliveryId],
  ['subscriber_id', 'uuid', (o) => o.subscriberId],
  ['endpoint_id', 'uuid', (o) => o.endpointId],
  ['ticket', 'int', (o) => o.ticket],
  ['retry_count', 'int', (o) => o.retryCount],
  ['status', 'text', (o) => o.next.status],
  ['place', 'text', ({ next }) => (next.status === 'pending' ? next.place : null)],
  ['in_seconds', 'float8', ({ next }) => (next.status === 'pending' ? next.inSeconds : null)],
  ['because', 'text', ({ next }) => (next.status === 'pending' ? next.because : null)],
  ['failure', 'text', ({ next }) => (next.status === 'failed' ? next.failure : null)],
  ['gave_up', 'text', ({ next }) => (next.status === 'failed' ? next.gaveUp : null)],
  ['reason', 'text', ({ next }) => (next.status === 'cancelled' ? next.reason : null)],
  ['burns_try', 'bool', (o) => o.burnsTry],
  ['attempt_id', 'uuid', (o) => o.attempt?.id],
  ['attempt_status', 'text', (o) => o.attempt?.status],
  ['url', 'text', (o) => o.attempt?.url],
  ['started_at', 'float8', (o) => o.attempt?.startedAt.getTime()],
  ['finished_at', 'float8', (o) => o.attempt?.finishedAt.getTime()],
  ['dns_ms', 'real', (o) => o.attempt?.dnsMs],
  ['connect_ms', 'real', (o) => o.attempt?.connectMs],
  ['tls_ms', 'real', (o) => o.attempt?.tlsMs],
  ['first_byte_ms', 'real', (o) => o.attempt?.firstByteMs],
  ['total_ms', 'real', (o) => o.attempt?.totalMs],
  ['status_code', 'smallint', (o) => o.attempt?.statusCode],
  ['attempt_failure', 'text', (o) => o.attempt?.failure],
  ['failure_detail', 'text', (o) => o.attempt?.failureDetail],
  ['note', 'text', (o) => o.attempt?.note],
  ['remote_address', 'text', (o) => o.attempt?.remoteAddress],
  ['response_headers', 'text', (o) => o.attempt?.responseHeaders],
  ['response_body', 'text', (o) => o.attempt?.responseBody],
  ['response_encoding', 'text', (o) => o.attempt?.responseEncoding],
  ['response_truncated', 'bool', (o) => o.attempt?.responseTruncated],
  ['response_sealed', 'bytea', (o) => o.attempt?.responseSealed],
]);

const RECORD = inBothForms(
  'record_outcomes',
  (form) => `WITH before AS MATERIALIZED (
       SELECT i.*, d.id IS NOT NULL AS is_there, d.trigger, d.due_at, d.place AS old_place, d.attempts + 1 AS n,
              d.status <> 'pending' AS over, coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS is_claimed,
              d.status = 'pending' AND d.ticket = i.ticket AND coalesce(j.state = 'active' AND j.retry_count = i.retry_count, false) AS applied
         FROM ${OUTCOME.sql[form]} i
         LEFT JOIN deliveries d ON d.id = i.id AND d.subscriber_id = i.subscriber_id AND d.id >= $${OUTCOME.next + 1}::uuid AND d.id <= $${OUTCOME.next + 2}::uuid
         -- By its key and nothing else: with the state in here the planner takes the index of active jobs, one by one.
         LEFT JOIN pgboss.job j ON j.name = '${DELIVER_QUEUE}' AND j.id = i.id),
     ended AS (
       -- An array: joined, and without statistics, the planner walks all jobs.
       DELETE FROM pgboss.job WHERE name = '${DELIVER_QUEUE}' AND id = ANY (ARRAY(
         SELECT b.id FROM before b WHERE b.is_claimed AND (b.applied OR b.over OR NOT b.is_there)))),
     moved AS (
       UPDATE deliveries d SET
              attempts = d.attempts + (b.attempt_id IS NOT NULL)::int,
              tries = d.tries + (b.applied AND b.burns_try)::int,
              faults = d.faults + (b.applied AND b.attempt_id IS NOT NULL AND NOT b.burns_try)::int,
              status = CASE WHEN b.applied THEN b.status ELSE d.status END,
              place = CASE WHEN b.applied THEN b.place ELSE d.place END,
              ticket = d.ticket + b.applied::int,
              due_at = CASE WHEN NOT b.applied THEN d.due_at
                            WHEN b.status = 'pending' THEN now() + b.in_seconds * interval '1 second' END,
              trigger = CASE WHEN b.applied AND b.status = 'pending' AND b.attempt_id IS NOT NULL AND d.trigger <> 'test'
                             THEN 'retry' ELSE d.trigger END,
              due_because = CASE WHEN b.applied THEN b.because ELSE d.due_because END,
              gave_up = CASE WHEN b.applied THEN b.gave_up ELSE d.gave_up END,
              -- Of what is held or waiting from now on, the table's trigger fills them in.
              set_aside = CASE WHEN NOT b.applied THEN d.set_aside END, set_aside_at = CASE WHEN NOT b.applied THEN d.set_aside_at END,
              failure = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.attempt_failure
                             WHEN b.applied AND b.status = 'failed' THEN b.failure ELSE d.failure END,
              status_code = CASE WHEN b.applied AND b.attempt_id IS NOT NULL THEN b.status_code ELSE d.status_code END,
              cancel_reason = CASE WHEN b.applied THEN b.reason ELSE d.cancel_reason END,
              finished_at = CASE WHEN b.applied AND b.status <> 'pending' THEN now() ELSE d.finished_at END,
              updated_at = now()
         FROM before b
        -- The bounds prune, and only that: by an OR no index can be read. Said plainly, and planned while tables are small, all deliveries between
        -- them were read first, and each compared with each of b.
        WHERE d.id = b.id AND d.subscriber_id = b.subscriber_id AND b.is_there
          AND ((d.id >= $${OUTCOME.next + 1}::uuid AND d.id <= $${OUTCOME.next + 2}::uuid) OR d.id = $${OUTCOME.next + 1}::uuid)
        RETURNING d.id),
     made AS (
       INSERT INTO attempts (id, subscriber_id, delivery_id, endpoint_id, n, trigger, status, late, url, scheduled_at,
              started_at, finished_at, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, status_code, failure,
              failure_detail, note, remote_address, response_headers, response_body, response_encoding,
              response_truncated, worker, response_sealed)
       SELECT b.attempt_id, b.subscriber_id, b.id, b.endpoint_id, b.n, b.trigger, b.attempt_status, NOT b.applied, b.url,
              CASE WHEN b.applied AND b.due_at IS NOT NULL THEN b.due_at ELSE to_timestamp(b.started_at / 1000) END,
              to_timestamp(b.started_at / 1000), to_timestamp(b.finished_at / 1000), b.dns_ms, b.connect_ms, b.tls_ms,
              b.first_byte_ms, b.total_ms, b.status_code, b.attempt_failure, b.failure_detail, b.note, b.remote_address,
              b.response_headers, b.response_body, b.response_encoding, coalesce(b.response_truncated, false), $${OUTCOME.next}, b.response_sealed
         FROM before b WHERE b.is_there AND b.attempt_id IS NOT NULL)
     SELECT id, applied, old_place AS "oldPlace", n, (SELECT count(*) FROM moved) AS moved FROM before WHERE is_there`,
);

const LANE_CHANGE = given<LaneChange>([
  ['endpoint_id', 'uuid', (c) => c.endpointId],
  ['queued', 'int', (c) => c.queued],
  ['held', 'int', (c) => c.held],
  ['waiting', 'int', (c) => c.waiting],
  ['successes', 'int', (c) => c.successes],
  ['troubled', 'bool', (c) => c.troubled],
]);

const SETTLE_LANES = inBothForms(
  'record_settle_lanes',
  (form) => `WITH locked AS (
       SELECT c.*, c.successes > 0 AND NOT c.troubled AND l.circuit = 'closed' AND l.warned_percent = 0 AS calm,
              -- Also after the clock was set back, as in domain's lane.ts.
              coalesce(now() >= l.sample_at + interval '60 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS stale,
              coalesce(now() >= l.sample_at + interval '30 seconds' OR now() < l.sample_at - interval '30 seconds', true) AS turned
         FROM lanes l JOIN ${LANE_CHANGE.sql[form]} c ON c.endpoint_id = l.endpoint_id
        ORDER BY l.endpoint_id FOR UPDATE OF l)
     UPDATE lanes l SET queued = greatest(l.queued + k.queued, 0), held = greatest(l.held + k.held, 0),
            waiting = greatest(l.waiting + k.waiting, 0),
            window_size = CASE WHEN k.calm THEN greatest(l.window_size, least(l.window_max, l.window_size + k.successes)) ELSE l.window_size END,
            consecutive_failures = CASE WHEN k.calm THEN 0 ELSE l.consecutive_failures END,
            failing_since = CASE WHEN k.calm THEN NULL ELSE l.failing_since END,
            failing_attempts = CASE WHEN k.calm THEN 0 ELSE l.failing_attempts END,
            sample_at = CASE WHEN k.calm AND k.stale THEN now() WHEN k.calm AND k.turned THEN l.sample_at + interval '30 seconds' ELSE l.sample_at END,
            previous_attempts = CASE WHEN NOT k.calm THEN l.previous_attempts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_attempts ELSE l.previous_attempts END,
            previous_failures = CASE WHEN NOT k.calm THEN l.previous_failures WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_failures ELSE l.previous_failures END,
            previous_timeouts = CASE WHEN NOT k.calm THEN l.previous_timeouts WHEN k.stale THEN 0 WHEN k.turned THEN l.sample_timeouts ELSE l.previous_timeouts END,
            sample_attempts = CASE WHEN NOT k.calm THEN l.sample_attempts WHEN k.turned THEN k.successes ELSE l.sample_attempts + k.successes END,
            sample_failures = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_failures END,
            sample_timeouts = CASE WHEN k.calm AND k.turned THEN 0 ELSE l.sample_timeouts END
       FROM locked k WHERE l.endpoint_id = k.endpoint_id
     RETURNING l.endpoint_id AS "endpointId", (k.successes > 0 OR k.troubled) AND NOT k.calm AS attentive,
       CASE WHEN ${IS_OPEN} AND l.queued * 2 < l.window_size THEN ${ROOM} ELSE 0 END AS promote,
       CASE WHEN ${IS_OPEN} THEN ${ROOM} ELSE 0 END AS room`,
);

/** The SQL of T2. Every method is one statement. */
export const recordRepository = {
  /**
   * Locks deliveries and the jobs that were claimed for them, each in order of id. Statements of their own before `record`:
   * PostgreSQL 18 silently misses rows, and has crashed, when a statement that prunes partitions while it runs meets a row
   * that somebody has just changed (docs/adr/0007).
   */
  async lock(tx: Tx, ids: string[]): Promise<void> {
    const given = [arrayOf(ids)];
    // Counted: nobody reads hundreds of rows.
    await Promise.all([
      // The bounds prune: for an array alone every day's index is asked.
      tx.preparedCells(
        'record_lock',
        `SELECT count(*) FROM (
           SELECT 1 FROM deliveries WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid ORDER BY id FOR UPDATE) locked`,
        [...given, ...boundsOf(ids)],
      ),
      tx.preparedCells(
        'record_lock_jobs',
        `SELECT count(*) FROM (
           SELECT 1 FROM pgboss.job WHERE name = '${DELIVER_QUEUE}' AND id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) locked`,
        given,
      ),
    ]);
  },

  /**
   * Writes attempts, moves deliveries on and ends their jobs; the caller has locked both. An outcome applies only if the
   * delivery is pending, its ticket is the one that was loaded and the job is still active in the attempt that was
   * claimed. Both, because a delivery's next job has the same id and counts from 0 again: a worker that froze over
   * one whole retry would find its `{ id, retryCount }` true of another's claim. A late outcome adds its attempt,
   * marked late, and changes nothing else: it burns no try. The claimed job of a delivery that is over or gone ends, too.
   */
  async record(tx: Tx, outcomes: OutcomeRecord[], form = formOf(outcomes)): Promise<RecordedOutcome[]> {
    const rows = await tx.preparedCells(...RECORD[form], [
      ...OUTCOME.values(form, outcomes),
      outcomes[0]?.worker ?? null,
      ...boundsOf(outcomes.map((o) => o.deliveryId)),
    ]);
    refuseWhenShort(rows);
    return rows.map(([id, applied, oldPlace, n]) => ({
      id: id!,
      applied: isTrue(applied),
      oldPlace: oldPlace as RecordedOutcome['oldPlace'],
      n: Number(n),
    }));
  },

  /**
   * Changes the lanes' counts and answers how many held deliveries each may promote now: when less than half of
   * the window is queued it is filled, so that promotion comes in batches and not one by one (`room` is for whoever takes them on). A closed circuit that has
   * seen nothing but successes grows its window here, by one for each; any other lane is `attentive` and is told after.
   */
  async settleLanes(tx: Tx, changes: LaneChange[], form = formOf(changes)): Promise<LaneRoom[]> {
    return tx.prepared(...SETTLE_LANES[form], LANE_CHANGE.values(form, changes));
  },

  /**
   * Locks held deliveries that wait for nobody: the critical ones of each lane, the oldest of the others, the newest of them.
   * The last two may be the same ones; the newest are looked for only when the oldest has waited for a minute, or when asked. Those that
   * somebody else has locked are left out. The index knows those that were held: of the ones promoted since, which are no more than a
   * window at either end, only their rows tell.
   */
  async pickHeld(
    tx: Tx,
    room: { endpointId: string; promote: number }[],
    newestAlways = false,
  ): Promise<{ critical: HeldDelivery[]; oldest: HeldDelivery[]; newest: HeldDelivery[] }> {
    const cells = await tx.preparedCells(
      'record_pick_held',
      `SELECT p.id, p.endpoint_id AS "endpointId", p.due_at AS "dueAt", p.trigger, p.critical, p.newest
         FROM unnest($1::uuid[], $2::int[]) AS r (endpoint_id, n) CROSS JOIN LATERAL (
           SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, false AS newest FROM deliveries d
              WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND d.critical
              ORDER BY d.set_aside_at, d.id LIMIT r.n FOR UPDATE SKIP LOCKED) critical
           UNION ALL
           SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, false AS newest FROM deliveries d
              WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND NOT d.critical
              ORDER BY d.set_aside_at, d.id LIMIT r.n FOR UPDATE SKIP LOCKED) oldest
           UNION ALL
           SELECT * FROM (SELECT d.id, d.endpoint_id, d.due_at, d.trigger, d.critical, true AS newest FROM deliveries d
              WHERE d.endpoint_id = r.endpoint_id AND d.status = 'pending' AND (d.ordering_key IS NULL) AND d.set_aside = 'held' AND d.place = 'held' AND NOT d.critical
                -- Asked for once: without a backlog they are not wanted, and a lock is a write.
                AND ($3::bool OR (SELECT o.set_aside_at FROM deliveries o
                      WHERE o.endpoint_id = r.endpoint_id AND o.status = 'pending' AND (o.ordering_key IS NULL) AND o.set_aside = 'held' AND o.place = 'held' AND NOT o.critical
                      ORDER BY o.set_aside_at, o.id LIMIT 1) < now() - interval '${BACKLOG_AGE_SECONDS} seconds')
              ORDER BY d.set_aside_at DESC, d.id DESC LIMIT (r.n + 1) / 2 FOR UPDATE SKIP LOCKED) newest) p`,
      [room.map((r) => r.endpointId), room.map((r) => r.promote), newestAlways],
    );
    const rows = cells.map(([id, endpointId, dueAt, trigger, critical, newest]) => ({
      id: id!,
      endpointId: endpointId!,
      dueAt: instantOf(dueAt!),
      trigger: trigger as Trigger,
      critical: isTrue(critical),
      newest: isTrue(newest),
    }));
    return {
      critical: rows.filter((row) => row.critical),
      oldest: rows.filter((row) => !row.critical && !row.newest),
      newest: rows.filter((row) => row.newest),
    };
  },

  /** Locks these if they are held, in order of id; what somebody else has locked or moved is left out. Answers the rest. */
  async lockHeld(tx: Tx, ids: string[]): Promise<Set<string>> {
    const rows = await tx.prepared<{ id: string }>(
      'record_lock_held',
      // Held is pending; said here, the planner takes the index of all that is.
      `SELECT id FROM deliveries WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid AND place = 'held'
        ORDER BY id FOR UPDATE SKIP LOCKED`,
      [ids, ...boundsOf(ids)],
    );
    return new Set(rows.map((row) => row.id));
  },

  /**
   * Gives places to held deliveries that the caller has locked; their tickets and the lanes' counts are the caller's. It changes nothing that
   * an index names (`set_aside` stays), so it writes no index: 3 µs and 128 bytes of WAL a row instead of 15 and 900 (docs/adr/0014).
   */
  async givePlaces(tx: Tx, ids: string[]): Promise<void> {
    await tx.prepared(
      'record_give_places',
      `UPDATE deliveries SET place = 'queued', ticket = ticket + 1, due_at = now(), due_because = NULL, updated_at = now()
        WHERE id = ANY($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid`,
      [arrayOf(ids), ...boundsOf(ids)],
    );
  },

  /**
   * How many held deliveries each of these lanes has room for; none for one that holds nothing, whose ordering keys may be left
   * over. Lanes of which less than half is empty are left out unless `anyRoom`. `mine`: nobody else is its promoter. The lanes
   * themselves are not locked: T2 changes their counts meanwhile, and only promoters raise `queued` while something is held.
   */
  async roomToPromote(tx: Tx, endpointIds: string[], anyRoom: boolean): Promise<RoomToPromote[]> {
    return tx.prepared(
      'record_room_to_promote',
      `SELECT r.endpoint_id AS "endpointId", r.room, r.refill,
              pg_try_advisory_xact_lock(hashtextextended(r.endpoint_id::text, 33)) AS mine FROM (
         SELECT l.endpoint_id, ${ROOM} AS room, l.queued * 2 < l.window_size AS refill
           FROM lanes l
          WHERE l.endpoint_id = ANY($1::uuid[])
            AND (l.held = 0 OR ${IS_OPEN} AND (l.queued * 2 < l.window_size OR $2 AND l.queued < l.window_size))) r`,
      [endpointIds, anyRoom],
    );
  },
};

/** Without the locks of `lock` PostgreSQL 18 leaves out rows that somebody changes meanwhile (docs/adr/0007): they would stand still, their tickets gone. */
function refuseWhenShort(rows: readonly Cells[]): void {
  const found = new Set(rows.map(([id]) => id)).size;
  const moved = Number(rows[0]?.[4] ?? 0);
  if (moved !== found)
    throw new Error(`Bug: of ${found} deliveries ${moved} were moved on; were they locked?`);
}
