import { boundTo, type Scope } from '@app/contracts';
import type { Database } from './database.js';
import type { PageOfRows } from './subscribers.repository.js';

/** One ed25519 key that signs now, as far as anybody may know it. */
export interface PublicKeyRow {
  id: string;
  subscriberId: string;
  endpointId: string;
  /** `whpk_…`. */
  publicKey: string;
  createdAt: Date;
  /** Null for the newest of its endpoint. */
  expiresAt: Date | null;
}

export const publicKeysRepository = {
  /** Keys of endpoints that are not deleted, newest first: of one endpoint, or of all that the scope may see. */
  async list(
    on: Pick<Database, 'query'>,
    scope: Scope,
    endpointId: string | null,
    page: PageOfRows,
  ): Promise<PublicKeyRow[]> {
    return on.query<PublicKeyRow>(
      `SELECT k.id, k.subscriber_id AS "subscriberId", k.endpoint_id AS "endpointId", k.public_key AS "publicKey",
              k.created_at AS "createdAt", k.expires_at AS "expiresAt"
         FROM endpoint_secrets k
         JOIN endpoints e ON e.id = k.endpoint_id AND e.subscriber_id = k.subscriber_id AND e.deleted_at IS NULL
         JOIN subscribers s ON s.id = k.subscriber_id AND s.deleted_at IS NULL
        WHERE k.kind = 'v1a' AND (k.expires_at IS NULL OR k.expires_at > now()) AND ($1::uuid IS NULL OR k.subscriber_id = $1)
          AND ($2::uuid IS NULL OR k.endpoint_id = $2) AND ($3::uuid IS NULL OR k.id < $3)
        ORDER BY k.id DESC LIMIT $4`,
      [boundTo(scope), endpointId, page.after ?? null, page.limit],
    );
  },
};
