import { boundTo, type Scope } from '@app/contracts';
import type { Database, Tx } from './database.js';
import { EndpointSecretEntity } from './entities/endpoint-secret.entity.js';
import { EndpointEntity } from './entities/endpoint.entity.js';
import type { PageOfRows } from './subscribers.repository.js';

/** An endpoint with what its lane says of it. */
export type EndpointRow = Omit<EndpointEntity, 'deletedAt'> & { pausedAt: Date | null };

/** A secret that signs now. */
export interface LiveSecret {
  secret: string;
  createdAt: Date;
  /** Null for the current one. */
  expiresAt: Date | null;
}

export type NewEndpoint = Pick<
  EndpointEntity,
  'id' | 'subscriberId' | 'url' | 'description' | 'eventTypes' | 'headers' | 'metadata' | 'timeoutMs'
>;
export type EndpointChanges = Partial<Omit<NewEndpoint, 'id' | 'subscriberId'>>;

type Queries = Pick<Database, 'query'>;

const COLUMNS = `e.id, e.subscriber_id AS "subscriberId", e.url, e.description, e.event_types AS "eventTypes", e.headers,
  e.metadata, e.timeout_ms AS "timeoutMs", e.disabled_at AS "disabledAt", e.disabled_reason AS "disabledReason",
  e.created_at AS "createdAt", e.updated_at AS "updatedAt", l.paused_at AS "pausedAt"`;
const FROM = 'FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id';

/** Endpoints that are not deleted. Every method takes the subscriber as well: an id alone shows and moves nothing. */
export const endpointsRepository = {
  async find(on: Queries, scope: Scope, subscriberId: string, id: string): Promise<EndpointRow | null> {
    const [row] = await on.query<EndpointRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE e.id = $1 AND e.subscriber_id = $2 AND e.deleted_at IS NULL
          AND ($3::uuid IS NULL OR e.subscriber_id = $3)`,
      [id, subscriberId, boundTo(scope)],
    );
    return row ?? null;
  },

  /** The same, and nobody else changes it or its secrets until the end of the transaction. */
  async lock(tx: Tx, scope: Scope, subscriberId: string, id: string): Promise<EndpointRow | null> {
    await tx.query('SELECT 1 FROM endpoints WHERE id = $1 AND subscriber_id = $2 FOR UPDATE', [
      id,
      subscriberId,
    ]);
    return this.find(tx, scope, subscriberId, id);
  },

  /** Newest first. */
  async list(on: Queries, scope: Scope, subscriberId: string, page: PageOfRows): Promise<EndpointRow[]> {
    return on.query<EndpointRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE e.subscriber_id = $1 AND e.deleted_at IS NULL
          AND ($2::uuid IS NULL OR e.subscriber_id = $2) AND ($3::uuid IS NULL OR e.id < $3)
        ORDER BY e.id DESC LIMIT $4`,
      [subscriberId, boundTo(scope), page.after ?? null, page.limit],
    );
  },

  async count(tx: Tx, subscriberId: string): Promise<number> {
    const [row] = await tx.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM endpoints WHERE subscriber_id = $1 AND deleted_at IS NULL',
      [subscriberId],
    );
    return row.n;
  },

  /** The endpoint with its lane: there is never one without the other. */
  async insert(tx: Tx, row: NewEndpoint): Promise<void> {
    await tx.manager.insert(EndpointEntity, row);
    await tx.query('INSERT INTO lanes (endpoint_id, subscriber_id) VALUES ($1, $2)', [
      row.id,
      row.subscriberId,
    ]);
  },

  async update(tx: Tx, subscriberId: string, id: string, changes: EndpointChanges): Promise<void> {
    await tx.manager.update(EndpointEntity, { id, subscriberId }, { ...changes, updatedAt: () => 'now()' });
  },

  /** The row stays for the history of its deliveries; what is pending ends. */
  async delete(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      'UPDATE endpoints SET deleted_at = now(), updated_at = now() WHERE id = $1 AND subscriber_id = $2 AND deleted_at IS NULL',
      [id, subscriberId],
    );
  },

  /** One that is disabled keeps its time and reason; enabling forgets both. */
  async setDisabled(
    tx: Tx,
    subscriberId: string,
    id: string,
    disabled: { reason: string | null } | null,
  ): Promise<void> {
    await tx.query(
      `UPDATE endpoints SET updated_at = now(), disabled_at = CASE WHEN $3 THEN now() END, disabled_reason = $4
        WHERE id = $1 AND subscriber_id = $2 AND (disabled_at IS NOT NULL) <> $3`,
      [id, subscriberId, disabled !== null, disabled?.reason ?? null],
    );
  },

  /** Answers whether that changed anything. */
  async setPaused(tx: Tx, subscriberId: string, id: string, paused: boolean): Promise<boolean> {
    const rows = await tx.query(
      `WITH lane AS (
         UPDATE lanes SET paused_at = CASE WHEN $3 THEN now() END
          WHERE endpoint_id = $1 AND subscriber_id = $2 AND (paused_at IS NOT NULL) <> $3 RETURNING endpoint_id)
       UPDATE endpoints e SET updated_at = now() FROM lane WHERE e.id = lane.endpoint_id AND e.subscriber_id = $2
       RETURNING e.id`,
      [id, subscriberId, paused],
    );
    return rows.length > 0;
  },
};

/** The secrets of an endpoint, newest first. Lock the endpoint before changing them. */
export const endpointSecretsRepository = {
  async live(on: Queries, subscriberId: string, endpointId: string): Promise<LiveSecret[]> {
    return on.query<LiveSecret>(
      `SELECT secret, created_at AS "createdAt", expires_at AS "expiresAt" FROM endpoint_secrets
        WHERE endpoint_id = $1 AND subscriber_id = $2 AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC`,
      [endpointId, subscriberId],
    );
  },

  /** Destroys secrets that no attempt signs with any more, an hour after their end: one may still be under way. */
  async deleteExpired(on: Queries): Promise<number> {
    const rows = await on.query(
      `DELETE FROM endpoint_secrets WHERE expires_at < now() - interval '1 hour' RETURNING 1 AS one`,
    );
    return rows.length;
  },

  async insert(
    tx: Tx,
    row: Pick<EndpointSecretEntity, 'id' | 'subscriberId' | 'endpointId' | 'secret'>,
  ): Promise<void> {
    await tx.manager.insert(EndpointSecretEntity, row);
  },

  /**
   * Every secret stops signing after so many seconds, or earlier when that was settled before. Cut to the column's
   * milliseconds, which would round up: with 0 seconds they would still be alive for the rest of this transaction.
   */
  async expire(tx: Tx, subscriberId: string, endpointId: string, inSeconds: number): Promise<void> {
    await tx.query(
      `UPDATE endpoint_secrets SET expires_at = least(expires_at, date_trunc('milliseconds', now()) + make_interval(secs => $3))
        WHERE endpoint_id = $1 AND subscriber_id = $2 AND (expires_at IS NULL OR expires_at > now())`,
      [endpointId, subscriberId, inSeconds],
    );
  },
};
