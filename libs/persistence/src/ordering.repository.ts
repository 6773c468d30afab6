import type { Database, Tx } from './database.js';

/** Deliveries of one endpoint with one key go one after the other. The key is '' for events without one. */
export interface OrderingKey {
  endpointId: string;
  subscriberId: string;
  key: string;
}

export interface OrderingKeyChange {
  endpointId: string;
  key: string;
  /** Who was the key's turn; a key that has another by now is left as it is. */
  deliveryId: string;
  state: 'ready' | 'blocked';
}

export interface PickedKey extends OrderingKey {
  /** The first pending delivery of the key, null when there is none. */
  head: { id: string; place: 'queued' | 'held' | 'waiting'; trigger: string; critical: boolean } | null;
}

/**
 * Whose turn it is, per endpoint and ordering key. A row exists while the key has something pending or is blocked. Locks are
 * taken after deliveries and tickets and before lanes, in order of endpoint and key. Every method is one statement.
 */
export const orderingRepository = {
  /** Makes rows for keys that get something new, and waits for whoever is about to find one empty. */
  async enter(tx: Tx, keys: OrderingKey[]): Promise<void> {
    await tx.prepared(
      'ordering_enter',
      `INSERT INTO ordering_keys AS k (endpoint_id, subscriber_id, key)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (endpoint_id, subscriber_id, key) ORDER BY 1, 3
       ON CONFLICT (endpoint_id, key, subscriber_id) DO UPDATE SET changed_at = k.changed_at`,
      [keys.map((k) => k.endpointId), keys.map((k) => k.subscriberId), keys.map((k) => k.key)],
    );
  },

  /** What the end of deliveries means for their keys: the next one's turn, or nobody's. */
  async settle(tx: Tx, changes: OrderingKeyChange[]): Promise<void> {
    await tx.prepared(
      'ordering_settle',
      `WITH change AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) AS c (endpoint_id, key, delivery_id, state)),
       locked AS (
         SELECT k.endpoint_id, k.key, c.state FROM ordering_keys k
           JOIN change c ON c.endpoint_id = k.endpoint_id AND c.key = k.key AND c.delivery_id = k.delivery_id
          ORDER BY k.endpoint_id, k.key FOR UPDATE OF k)
       UPDATE ordering_keys k SET state = l.state, changed_at = now(),
              delivery_id = CASE l.state WHEN 'blocked' THEN k.delivery_id END
         FROM locked l WHERE k.endpoint_id = l.endpoint_id AND k.key = l.key`,
      [
        changes.map((c) => c.endpointId),
        changes.map((c) => c.key),
        changes.map((c) => c.deliveryId),
        changes.map((c) => c.state),
      ],
    );
  },

  /** Locks keys of these endpoints whose next delivery may go, the longest waiting first (one T2 frees many at once: those by name); not those that somebody has locked. */
  async pickReady(tx: Tx, endpointIds: string[], maxEach: number): Promise<OrderingKey[]> {
    return tx.prepared(
      'ordering_pick',
      `SELECT p.endpoint_id AS "endpointId", p.subscriber_id AS "subscriberId", p.key
         FROM unnest($1::uuid[]) AS e (id) CROSS JOIN LATERAL (
           SELECT k.endpoint_id, k.subscriber_id, k.key FROM ordering_keys k
            WHERE k.endpoint_id = e.id AND k.state = 'ready'
            ORDER BY k.changed_at, k.key LIMIT $2 FOR UPDATE SKIP LOCKED) p`,
      [endpointIds, maxEach],
    );
  },

  /** The first pending delivery of each of these locked keys. It is not locked itself: see RecordRepository.lockHeld. */
  async heads(tx: Tx, keys: OrderingKey[]): Promise<PickedKey[]> {
    const rows = await tx.prepared<
      OrderingKey & { id: string | null; place: 'queued'; trigger: string; critical: boolean }
    >(
      'ordering_heads',
      `SELECT k.endpoint_id AS "endpointId", k.subscriber_id AS "subscriberId", k.key, d.id, d.place, d.trigger, d.critical
         FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (endpoint_id, subscriber_id, key)
         LEFT JOIN LATERAL (
           SELECT x.id, x.place, x.trigger, x.critical FROM deliveries x
            WHERE x.endpoint_id = k.endpoint_id AND x.ordering_key = k.key AND x.status = 'pending'
            ORDER BY x.seq, x.id LIMIT 1) d ON true`,
      [keys.map((k) => k.endpointId), keys.map((k) => k.subscriberId), keys.map((k) => k.key)],
    );
    return rows.map(({ id, place, trigger, critical, ...key }) => ({
      ...key,
      head: id === null ? null : { id, place, trigger, critical },
    }));
  },

  /** These keys' turn is now these deliveries'. */
  async occupy(tx: Tx, turns: (OrderingKey & { deliveryId: string })[]): Promise<void> {
    await tx.prepared(
      'ordering_occupy',
      `UPDATE ordering_keys k SET state = 'busy', delivery_id = t.delivery_id, changed_at = now()
         FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS t (endpoint_id, key, delivery_id)
        WHERE k.endpoint_id = t.endpoint_id AND k.key = t.key`,
      [turns.map((t) => t.endpointId), turns.map((t) => t.key), turns.map((t) => t.deliveryId)],
    );
  },

  /** Locked keys that nothing is pending for. */
  async leave(tx: Tx, keys: OrderingKey[]): Promise<void> {
    await tx.prepared(
      'ordering_leave',
      `DELETE FROM ordering_keys k USING unnest($1::uuid[], $2::text[]) AS t (endpoint_id, key)
        WHERE k.endpoint_id = t.endpoint_id AND k.key = t.key AND k.state = 'ready'`,
      [keys.map((k) => k.endpointId), keys.map((k) => k.key)],
    );
  },

  /**
   * Frees keys whose delivery is no longer pending, though nobody said so: somebody died, or ended it another way; and what
   * blocks a deleted endpoint. Only those unchanged for a minute, so none that is just being moved. Answers the endpoints.
   */
  async freeStale(tx: Tx, max: number): Promise<string[]> {
    const rows = await tx.query<{ endpoint_id: string }>(
      `WITH stale AS MATERIALIZED (
         SELECT k.endpoint_id, k.key, k.changed_at FROM ordering_keys k
          WHERE k.changed_at < now() - interval '1 minute'
            AND (k.state = 'busy' AND NOT EXISTS (
                   SELECT 1 FROM deliveries d WHERE d.id = k.delivery_id AND d.status = 'pending' AND d.place <> 'held')
              OR k.state = 'blocked' AND (
                   NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = k.delivery_id AND d.status = 'failed')
                   OR EXISTS (SELECT 1 FROM endpoints e WHERE e.id = k.endpoint_id AND e.deleted_at IS NOT NULL)))
          LIMIT $1)
       UPDATE ordering_keys k SET state = 'ready', delivery_id = NULL, changed_at = now()
         FROM stale s WHERE k.endpoint_id = s.endpoint_id AND k.key = s.key AND k.changed_at = s.changed_at
       RETURNING k.endpoint_id`,
      [max],
    );
    return [...new Set(rows.map((row) => row.endpoint_id))];
  },

  /** Endpoints with keys that have been ready for a minute: most of them are empty and were left over. */
  async findLeftOver(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `SELECT endpoint_id FROM (SELECT DISTINCT endpoint_id FROM ordering_keys
         WHERE state = 'ready' AND changed_at < now() - interval '1 minute') k ORDER BY random() LIMIT $1`,
      [max],
    );
    return rows.map((row) => row.endpoint_id);
  },
};
