import type { OperationalType } from '@app/contracts';
import type { Tx } from './database.js';
import { openData } from './sealed-payloads.js';

/** Something that somebody asked to be told of, written in the transaction that did it. */
export interface NewNotice {
  id: string;
  subscriberId: string;
  endpointId: string;
  kind: OperationalType;
  deliveryId: string | null;
  /** Further facts: what JSON can hold, no secret. */
  detail: object;
}

/** A notice that is locked, to be published and forgotten in one transaction, with what it is about. */
export interface PendingNotice extends NewNotice {
  createdAt: Date;
  subscriberExternalId: string | null;
  endpointUrl: string;
  endpointDescription: string;
  /** Whom the subscriber wants to be told of failed deliveries. */
  onFailureEndpointId: string | null;
  delivery: { eventId: string; attempts: number; statusCode: number | null; createdAt: Date } | null;
  /** Null when it is about no delivery, or the event is no longer stored or readable. `sealed`: it is stored so. */
  event: { type: string; version: string; data: string; occurredAt: Date; sealed: boolean } | null;
}

interface NoticeRow extends Omit<PendingNotice, 'delivery' | 'event'> {
  eventId: string | null;
  attempts: number;
  statusCode: number | null;
  deliveryCreatedAt: Date;
  type: string | null;
  version: string;
  data: string | null;
  dataSealed: Buffer | null;
  kekId: string | null;
  wrapped: Buffer | null;
  occurredAt: Date;
}

/** The outbox of operational events. */
export const noticesRepository = {
  async add(tx: Tx, notices: NewNotice[]): Promise<void> {
    await tx.prepared(
      'notices_add',
      `INSERT INTO notices (id, subscriber_id, endpoint_id, kind, delivery_id, detail)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])`,
      [
        notices.map((n) => n.id),
        notices.map((n) => n.subscriberId),
        notices.map((n) => n.endpointId),
        notices.map((n) => n.kind),
        notices.map((n) => n.deliveryId),
        notices.map((n) => JSON.stringify(n.detail)),
      ],
    );
  },

  /** Locks the oldest notices that nobody else has, with what they are about. */
  async take(tx: Tx, max: number): Promise<PendingNotice[]> {
    // Locked first, read after: see RecordRepository.lock.
    const locked = await tx.query<{ id: string }>(
      'SELECT id FROM notices ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED',
      [max],
    );
    if (locked.length === 0) return [];
    const rows = await tx.query<NoticeRow>(
      `SELECT n.id, n.subscriber_id AS "subscriberId", n.endpoint_id AS "endpointId", n.kind, n.delivery_id AS "deliveryId", n.detail,
              n.created_at AS "createdAt", s.external_id AS "subscriberExternalId", e.url AS "endpointUrl",
              e.description AS "endpointDescription", e.on_failure_endpoint_id AS "onFailureEndpointId",
              d.event_id AS "eventId", d.attempts, d.status_code AS "statusCode", d.created_at AS "deliveryCreatedAt",
              v.type, v.version, v.data, v.data_sealed AS "dataSealed", y.kek_id AS "kekId", y.wrapped, v.occurred_at AS "occurredAt"
         FROM unnest($1::uuid[]) AS i (id)
         JOIN notices n ON n.id = i.id
         JOIN subscribers s ON s.id = n.subscriber_id
         JOIN endpoints e ON e.id = n.endpoint_id AND e.subscriber_id = n.subscriber_id
         LEFT JOIN deliveries d ON d.id = n.delivery_id AND d.subscriber_id = n.subscriber_id
         LEFT JOIN events v ON v.id = d.event_id AND v.subscriber_id = d.subscriber_id
         LEFT JOIN data_keys y ON y.subscriber_id = v.subscriber_id AND v.data_sealed IS NOT NULL
        ORDER BY n.id`,
      [locked.map((row) => row.id)],
    );
    return rows.map((row) => {
      const { eventId, attempts, statusCode, deliveryCreatedAt, type, version, occurredAt } = row;
      const { dataSealed, kekId, wrapped, data: plain, ...notice } = row;
      const sealed = dataSealed !== null;
      const data = sealed
        ? openData(tx.vault, { id: eventId!, subscriberId: row.subscriberId, dataSealed, kekId, wrapped })
        : plain;
      return {
        ...notice,
        delivery: eventId === null ? null : { eventId, attempts, statusCode, createdAt: deliveryCreatedAt },
        event: type === null || data === null ? null : { type, version, data, occurredAt, sealed },
      };
    });
  },

  async forget(tx: Tx, ids: string[]): Promise<void> {
    await tx.query('DELETE FROM notices WHERE id = ANY($1::uuid[])', [ids]);
  },
};
