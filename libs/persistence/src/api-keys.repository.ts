import type { ApiScope } from '@app/contracts';
import type { Database, Tx } from './database.js';

/** A key as far as a request needs it. */
export interface KnownKey {
  id: string;
  scopes: ApiScope[];
  subscriberId: string | null;
  /** Revoked or expired, by the database's clock. */
  ended: boolean;
}

/** A key as it is listed; nobody can list its text. */
export interface ListedKey {
  id: string;
  name: string;
  scopes: ApiScope[];
  subscriberId: string | null;
  createdAt: Date;
  expiresAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
}

export interface NewKey {
  id: string;
  name: string;
  hash: Buffer;
  scopes: ApiScope[];
  subscriberId: string | null;
  expiresAt: Date | null;
}

export class ApiKeysRepository {
  constructor(private readonly database: Database) {}

  async findByHash(hash: Buffer): Promise<KnownKey | null> {
    const [row] = await this.database.prepared<KnownKey>(
      'api_key_by_hash',
      `SELECT id, scopes, subscriber_id AS "subscriberId",
              revoked_at IS NOT NULL OR coalesce(expires_at <= now(), false) AS ended
         FROM api_keys WHERE key_hash = $1`,
      [hash],
    );
    return row ?? null;
  }

  /** Notes that the key is in use; once a minute is enough, so a newer note is left alone. */
  async markUsed(id: string): Promise<void> {
    await this.database.query(
      `UPDATE api_keys SET last_used_at = now()
        WHERE id = $1 AND coalesce(last_used_at < now() - interval '50 seconds', true)`,
      [id],
    );
  }

  /** Answers whether it was inserted: false when the same text is registered already, revoked or not. */
  async insert(tx: Tx, key: NewKey): Promise<boolean> {
    const rows = await tx.query(
      `INSERT INTO api_keys (id, name, key_hash, scopes, subscriber_id, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (key_hash) DO NOTHING RETURNING id`,
      [key.id, key.name, key.hash, key.scopes, key.subscriberId, key.expiresAt],
    );
    return rows.length > 0;
  }

  /** Whether any key was ever made. Holds a lock to the end of the transaction: of two first starts one makes it. */
  async lockAndCheckAny(tx: Tx): Promise<boolean> {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended('posthorn_first_key', 0))`);
    const [row] = await tx.query<{ any: boolean }>('SELECT EXISTS (SELECT 1 FROM api_keys) AS any');
    return row.any;
  }

  /** Newest first. */
  async list(page: { limit: number; after?: string }): Promise<ListedKey[]> {
    return this.database.query(
      `SELECT id, name, scopes, subscriber_id AS "subscriberId", created_at AS "createdAt", expires_at AS "expiresAt",
              revoked_at AS "revokedAt", last_used_at AS "lastUsedAt"
         FROM api_keys WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2`,
      [page.after ?? null, page.limit],
    );
  }

  /** Answers whether there is such a key; a revoked one stays as it is. */
  async revoke(tx: Tx, id: string): Promise<boolean> {
    const rows = await tx.query(
      'UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id',
      [id],
    );
    return rows.length > 0;
  }
}
