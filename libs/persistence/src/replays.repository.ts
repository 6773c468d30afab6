import type { Scope } from '@app/contracts';
import type { Database, Tx } from './database.js';
import { Predicates } from './predicates.js';
import {
  boundedPage,
  deliveryWalk,
  type DeliveryFilter,
  type ListReader,
  type LookEnd,
  type PageRequest,
  type Reader,
} from './status.queries.js';

export type ReplayState = 'running' | 'done' | 'cancelled';

/** What a replay moves; `status` is always said. */
export interface ReplayFilter {
  /** Null for all subscribers: staff only. */
  subscriberId: string | null;
  endpointId: string | null;
  eventType: string | null;
  status: 'delivered' | 'failed' | 'cancelled';
  since: Date;
  until: Date;
}

export interface ReplayRow extends ReplayFilter {
  id: string;
  state: ReplayState;
  matched: number;
  /** Before which instant they were counted when it was started, so that there may be more; null when all were. */
  countedTo: Date | null;
  resent: number;
  skipped: number;
  /** The last delivery that was looked at: the next batch begins after it. */
  afterId: string | null;
  createdAt: Date;
  updatedAt: Date;
  finishedAt: Date | null;
}

// Counting has no batch to end with the first that match, so a statement may be larger.
const COUNTED_AT_ONCE_MAX = 5000;

export interface ReplayBatch {
  ids: string[];
  /** After which delivery the next batch begins; null when this was the last. */
  lookedTo: string | null;
}

/** What `deliveryWalk` and a replay ask of a row that no index tells. */
const LOOKED_COLUMNS = `d.id, d.status, d.event_type AS "eventType", d.updated_at AS "updatedAt"`;

const COLUMNS = `r.id, r.subscriber_id AS "subscriberId", r.endpoint_id AS "endpointId", r.event_type AS "eventType",
  r.status, r.since, r.until, r.state, r.matched, r.counted_to AS "countedTo", r.resent, r.skipped, r.after_id AS "afterId",
  r.created_at AS "createdAt", r.updated_at AS "updatedAt", r.finished_at AS "finishedAt"`;

export const replaysRepository = {
  /** How many a replay would move of a bounded number of deliveries, from the oldest on or after where the last count ended. */
  async countMatching(
    reader: ListReader,
    scope: Scope,
    filter: ReplayFilter,
    after: string | null,
  ): Promise<LookEnd & { matched: number }> {
    const predicates = deliveryWalk(scope, asDeliveryFilter(filter)).add('d.id', '>', after);
    const { where, rest } = predicates;
    // Where an index tells it all, its entries are enough.
    const columns = rest ? LOOKED_COLUMNS : 'd.id';
    const [counted] = await reader.list<LookEnd & { matched: number }>(
      `WITH looked AS MATERIALIZED (SELECT ${columns} FROM deliveries d ${where} ORDER BY d.id LIMIT ${COUNTED_AT_ONCE_MAX})
       SELECT (SELECT count(*)::int FROM looked ${rest}) AS matched,
              (SELECT id FROM looked OFFSET ${COUNTED_AT_ONCE_MAX - 1} LIMIT 1) AS "lookedTo"`,
      predicates.values,
    );
    return counted;
  },

  /** Answers the new replay, or undefined when one with this fingerprint runs already. Waits for one being started. */
  async insert(
    tx: Tx,
    replay: ReplayFilter & Pick<ReplayRow, 'id' | 'matched' | 'countedTo'> & { fingerprint: Buffer },
  ): Promise<ReplayRow | undefined> {
    const [row] = await tx.query<ReplayRow>(
      `INSERT INTO replays AS r (id, subscriber_id, endpoint_id, event_type, status, since, until, matched, fingerprint,
                                 counted_to)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       ON CONFLICT (fingerprint) WHERE state = 'running' DO NOTHING RETURNING ${COLUMNS}`,
      [
        replay.id,
        replay.subscriberId,
        replay.endpointId,
        replay.eventType,
        replay.status,
        replay.since,
        replay.until,
        replay.matched,
        replay.fingerprint,
        replay.countedTo,
      ],
    );
    return row;
  },

  async findRunning(tx: Tx, fingerprint: Buffer): Promise<ReplayRow | undefined> {
    const [row] = await tx.query<ReplayRow>(
      `SELECT ${COLUMNS} FROM replays r WHERE r.fingerprint = $1 AND r.state = 'running'`,
      [fingerprint],
    );
    return row;
  },

  /** Newest first, one more than asked. A bound scope sees the replays of its own subscriber only. */
  async list(
    reader: Reader,
    scope: Scope,
    state: ReplayState | undefined,
    page: PageRequest,
  ): Promise<ReplayRow[]> {
    const predicates = new Predicates(scope, 'r.subscriber_id')
      .add('r.state', '=', state)
      .add('r.id', '<', page.after);
    return reader.query(
      `SELECT ${COLUMNS} FROM replays r ${predicates.where}
        ORDER BY r.id DESC LIMIT ${predicates.parameter(page.limit + 1)}`,
      predicates.values,
    );
  },

  async find(reader: Reader, scope: Scope, id: string): Promise<ReplayRow | undefined> {
    const predicates = new Predicates(scope, 'r.subscriber_id').add('r.id', '=', id);
    const [row] = await reader.query<ReplayRow>(
      `SELECT ${COLUMNS} FROM replays r ${predicates.where}`,
      predicates.values,
    );
    return row;
  },

  /** Ends a running replay. What it has moved stays moved. Answers whether it was running. */
  async cancel(tx: Tx, scope: Scope, id: string): Promise<boolean> {
    const predicates = new Predicates(scope, 'r.subscriber_id')
      .add('r.id', '=', id)
      .add('r.state', '=', 'running');
    const rows = await tx.query(
      `UPDATE replays r SET state = 'cancelled', finished_at = now(), updated_at = now() ${predicates.where}
       RETURNING 1 AS one`,
      predicates.values,
    );
    return rows.length > 0;
  },

  /** Takes the running replay that has waited longest, unless a runner has it. Held until the transaction ends. */
  async claim(tx: Tx): Promise<ReplayRow | undefined> {
    const [row] = await tx.query<ReplayRow>(
      `SELECT ${COLUMNS} FROM replays r WHERE r.state = 'running'
        ORDER BY r.updated_at, r.id LIMIT 1 FOR UPDATE SKIP LOCKED`,
    );
    return row;
  },

  /** A round of it failed: it is tried again after the others. */
  async postpone(database: Pick<Database, 'query'>, id: string): Promise<void> {
    await database.query('UPDATE replays SET updated_at = now() WHERE id = $1', [id]);
  },

  /** Forgets replays that ended longer ago than deliveries are kept. */
  async deleteEnded(database: Pick<Database, 'query'>, retentionDays: number): Promise<number> {
    const rows = await database.query(
      `DELETE FROM replays WHERE finished_at < now() - make_interval(days => $1) RETURNING 1 AS one`,
      [retentionDays],
    );
    return rows.length;
  },

  /**
   * The next deliveries of a replay, oldest first, of a bounded number that are looked at: there may be none and yet more to come.
   * What changed since it began is not its business any more.
   */
  async nextBatch(reader: ListReader, scope: Scope, replay: ReplayRow, max: number): Promise<ReplayBatch> {
    const predicates = deliveryWalk(scope, asDeliveryFilter(replay))
      .add('d.id', '>', replay.afterId)
      .addRest('"updatedAt"', '<', replay.createdAt);
    const [{ ids, lookedTo }] = await reader.list<LookEnd & { ids: string[] }>(
      `${boundedPage('deliveries d', LOOKED_COLUMNS, predicates, max, 'ASC')}
       SELECT ARRAY(SELECT id FROM page ORDER BY id)::text[] AS ids, look."lookedTo" FROM look`,
      predicates.values,
    );
    return { ids, lookedTo: ids.length < max ? lookedTo : ids[max - 1] };
  },

  /**
   * Records a batch with the deliveries that it moved. At the end, those that matched at first and had moved on by
   * themselves count as skipped, and those whose end was just being committed when it was counted as matched: in the
   * end matched = resent + skipped, and all of them are counted.
   */
  async advance(
    tx: Tx,
    step: { id: string; afterId: string | null; resent: number; skipped: number; state: ReplayState },
  ): Promise<void> {
    await tx.query(
      `UPDATE replays SET after_id = coalesce($2, after_id), resent = resent + $3, matched = greatest(matched, resent + $3 + skipped + $4),
              skipped = CASE $5 WHEN 'done' THEN greatest(skipped + $4, matched - resent - $3) ELSE skipped + $4 END,
              state = $5, finished_at = CASE WHEN $5 <> 'running' THEN now() END, updated_at = now()
        WHERE id = $1`,
      [step.id, step.afterId, step.resent, step.skipped, step.state],
    );
  },
};

function asDeliveryFilter(filter: ReplayFilter): DeliveryFilter {
  return {
    status: filter.status,
    subscriberId: filter.subscriberId ?? undefined,
    endpointId: filter.endpointId ?? undefined,
    eventType: filter.eventType ?? undefined,
    since: filter.since,
    until: filter.until,
  };
}
