import { boundTo, DELIVER_QUEUE, type Scope } from '@app/contracts';
import type { DeliveryPlace, DeliveryStatus } from '@app/domain';
import type { Tx } from './database.js';

/** A delivery whose row is locked, with all that decides whether it may be sent again. */
export interface LockedDelivery {
  id: string;
  subscriberId: string;
  endpointId: string;
  status: DeliveryStatus;
  place: DeliveryPlace | null;
  /** Its due time has come. */
  due: boolean;
  updatedAt: Date;
  /** Why no request may go to its endpoint, or null. */
  stopped: 'endpoint_disabled' | 'endpoint_deleted' | 'subscriber_deleted' | null;
  /** Its lane gives no places now. */
  closed: 'paused' | 'unverified' | 'circuit' | null;
  critical: boolean;
  /** Whose turn it waits for; null when it waits for nobody. */
  orderingKey: string | null;
  /** Its event is still stored. */
  stored: boolean;
}

export interface ResendMove {
  id: string;
  subscriberId: string;
  place: 'queued' | 'waiting' | 'held';
}

/** The SQL of resends. Locks are taken in the order of T2: deliveries by id, their tickets, lanes by endpoint. */
export const resendRepository = {
  /** Locks these deliveries in order of id. One that is not in the scope is not answered. */
  async lock(tx: Tx, scope: Scope, ids: string[]): Promise<LockedDelivery[]> {
    // Locked first, read after: see RecordRepository.lock.
    await tx.query(
      'SELECT 1 FROM deliveries WHERE id = ANY($1::uuid[]) AND ($2::uuid IS NULL OR subscriber_id = $2) ORDER BY id FOR UPDATE',
      [ids, boundTo(scope)],
    );
    // Due by the clock, not since this transaction began: the resend whose lock it waited for may have begun later. Instants are of a millisecond.
    return tx.query(
      `SELECT d.id, d.subscriber_id AS "subscriberId", d.endpoint_id AS "endpointId", d.status, d.place,
              coalesce(d.due_at <= clock_timestamp() + interval '1 millisecond', false) AS due, d.updated_at AS "updatedAt",
              CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                   WHEN p.id IS NULL OR p.deleted_at IS NOT NULL THEN 'endpoint_deleted'
                   WHEN p.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
              CASE WHEN l.endpoint_id IS NULL OR l.paused_at IS NOT NULL THEN 'paused' WHEN l.circuit = 'unverified' THEN 'unverified' WHEN l.circuit <> 'closed' THEN 'circuit' END AS closed,
              d.critical, d.ordering_key AS "orderingKey",
              EXISTS (SELECT 1 FROM events e WHERE e.id = d.event_id AND e.subscriber_id = d.subscriber_id) AS stored
         FROM deliveries d
         LEFT JOIN subscribers s ON s.id = d.subscriber_id
         LEFT JOIN endpoints p ON p.id = d.endpoint_id AND p.subscriber_id = d.subscriber_id
         LEFT JOIN lanes l ON l.endpoint_id = d.endpoint_id AND l.subscriber_id = d.subscriber_id
        WHERE d.id = ANY($1::uuid[]) AND ($2::uuid IS NULL OR d.subscriber_id = $2)
        ORDER BY d.id`,
      [ids, boundTo(scope)],
    );
  },

  /** Deliveries' tickets as they are now: `claimed` by a worker, or waiting in the queue. */
  async ticketsOf(tx: Tx, ids: string[]): Promise<Map<string, 'claimed' | 'unclaimed'>> {
    if (ids.length === 0) return new Map();
    const rows = await tx.query<{ id: string; claimed: boolean }>(
      `SELECT id, state = 'active' AS claimed FROM pgboss.job
        WHERE name = $1 AND id = ANY($2::uuid[]) AND state < 'completed'`,
      [DELIVER_QUEUE, ids],
    );
    return new Map(rows.map((row) => [row.id, row.claimed ? 'claimed' : 'unclaimed']));
  },

  /**
   * Makes locked deliveries due now, in these places. A finished one starts a fresh schedule, as if just published;
   * a pending one keeps its tries: its next attempt only comes earlier.
   */
  async move(
    tx: Tx,
    moves: ResendMove[],
    trigger: 'resend' | 'replay',
    replayId: string | null,
  ): Promise<void> {
    if (moves.length === 0) return;
    await tx.query(
      `UPDATE deliveries d SET
              status = 'pending', place = m.place, trigger = $4, ticket = d.ticket + 1, due_at = now(),
              tries = CASE d.status WHEN 'pending' THEN d.tries ELSE 0 END,
              faults = CASE d.status WHEN 'pending' THEN d.faults ELSE 0 END,
              run_at = CASE d.status WHEN 'pending' THEN d.run_at ELSE now() END,
              gave_up = NULL, due_because = NULL,
              failure = CASE d.status WHEN 'pending' THEN d.failure END,
              status_code = CASE d.status WHEN 'pending' THEN d.status_code END,
              replay_id = CASE d.status WHEN 'pending' THEN d.replay_id ELSE $5::uuid END,
              cancel_reason = NULL, finished_at = NULL, updated_at = now(),
              set_aside = NULL, set_aside_at = NULL -- filled in by the table's trigger, if need be
         FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS m (id, subscriber_id, place)
        WHERE d.id = m.id AND d.subscriber_id = m.subscriber_id`,
      [
        moves.map((m) => m.id),
        moves.map((m) => m.subscriberId),
        moves.map((m) => m.place),
        trigger,
        replayId,
      ],
    );
  },
};
