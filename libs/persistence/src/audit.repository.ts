import type { Tx } from './database.js';

/** One change that somebody made through the API. */
export interface AuditRecord {
  id: string;
  /** uuid of the API key. */
  actor: string;
  /** Method and route template. */
  action: string;
  /** What it was done to, as the outside calls it. */
  object: string;
  subscriberId: string | null;
  ip: string;
  requestId: string;
}

export const auditRepository = {
  /** In the transaction of the change: there is no change without its line, and no line without its change. */
  async insert(tx: Tx, record: AuditRecord): Promise<void> {
    await tx.query(
      `INSERT INTO audit_log (id, actor, action, object, subscriber_id, ip, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [
        record.id,
        record.actor,
        record.action,
        record.object,
        record.subscriberId,
        record.ip,
        record.requestId,
      ],
    );
  },
};
