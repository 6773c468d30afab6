import { boundTo, DELIVER_QUEUE, DUE_CHANNEL, dueNoticePayload, type Scope } from '@app/contracts';
import type { DeliveryPlace, DeliveryStatus } from '@app/domain';
import type { Tx } from './database.js';
import { lanesRepository } from './lanes.repository.js';

/** A delivery whose row is locked. */
export interface DeliveryToCancel {
  id: string;
  subscriberId: string;
  endpointId: string;
  status: DeliveryStatus;
  place: DeliveryPlace | null;
  orderingKey: string | null;
}

/** The SQL of cancelling one delivery by hand. Locks in the order of T2: the delivery, its ticket, its key, its lane. */
export const cancelRepository = {
  /** Undefined when there is none in this scope. */
  async lock(tx: Tx, scope: Scope, id: string): Promise<DeliveryToCancel | undefined> {
    const [row] = await tx.query<DeliveryToCancel>(
      `SELECT d.id, d.subscriber_id AS "subscriberId", d.endpoint_id AS "endpointId", d.status, d.place,
              d.ordering_key AS "orderingKey"
         FROM deliveries d WHERE d.id = $1 AND ($2::uuid IS NULL OR d.subscriber_id = $2) FOR UPDATE`,
      [id, boundTo(scope)],
    );
    return row;
  },

  /** Takes its ticket back. Answers false when a worker holds it. */
  async withdraw(tx: Tx, id: string): Promise<boolean> {
    // Whoever claims it at the same time has it locked: this waits, and then finds it active.
    await tx.query(`DELETE FROM pgboss.job WHERE name = $1 AND id = $2 AND state < 'active'`, [
      DELIVER_QUEUE,
      id,
    ]);
    const held = await tx.query(`SELECT 1 FROM pgboss.job WHERE name = $1 AND id = $2 AND state = 'active'`, [
      DELIVER_QUEUE,
      id,
    ]);
    return held.length === 0;
  },

  /** Whether those behind it in its ordering key wait for it though it is over. The key is locked. */
  async blocks(tx: Tx, delivery: DeliveryToCancel): Promise<boolean> {
    if (delivery.orderingKey === null) return false;
    const rows = await tx.query(
      `SELECT 1 FROM ordering_keys
        WHERE endpoint_id = $1 AND subscriber_id = $2 AND key = $3 AND state = 'blocked' AND delivery_id = $4 FOR UPDATE`,
      [delivery.endpointId, delivery.subscriberId, delivery.orderingKey, delivery.id],
    );
    return rows.length > 0;
  },

  /** Ends it, gives its key to the next and its place in the lane back, and wakes the workers at commit. */
  async cancel(tx: Tx, delivery: DeliveryToCancel): Promise<void> {
    const { id, endpointId } = delivery;
    await lanesRepository.cancel(tx, [id], ['staff']);
    await tx.query('SELECT pg_notify($1, $2)', [
      DUE_CHANNEL,
      dueNoticePayload({ endpointIds: [endpointId] }),
    ]);
  },
};
