import type { OperationalType } from '@app/contracts';
import type { Tx } from './database.js';

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

/** A notice that is locked, to be published and forgotten in one transaction. */
export interface PendingNotice extends NewNotice {
  createdAt: Date;
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
};
