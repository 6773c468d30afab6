import type { ApiScope } from '@app/contracts';
import type { Database, Tx } from './database.js';
import type { Reader } from './status.queries.js';

/** What a request needs of the key or token that it names: whose it is, what proves it, and what it may. */
export interface KnownKey {
  id: string;
  scopes: ApiScope[];
  subscriberId: string | null;
  /** SHA-256 of its text, and of the text before while that is still good. */
  hash: Buffer;
  previousHash: Buffer | null;
  /** The networks that it may be used from; none: from anywhere. */
  networks: string[];
  /** Revoked or expired, by the database's clock, or its subscriber is deleted. */
  ended: boolean;
}

/** A key as it is listed; nobody can list its text. */
export interface ListedKey {
  id: string;
  name: string;
  scopes: ApiScope[];
  subscriberId: string | null;
  networks: string[];
  /** Its text is POSTHORN_ADMIN_KEY, chosen by the operator. */
  chosen: boolean;
  createdAt: Date;
  expiresAt: Date | null;
  rotatedAt: Date | null;
  /** Until when the text before the last rotation is good too. */
  previousEndsAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
  lastUsedIp: string | null;
}

export interface NewKey {
  id: string;
  name: string;
  hash: Buffer;
  scopes: ApiScope[];
  subscriberId: string | null;
  networks: string[];
  chosen: boolean;
  expiresAt: Date | null;
}

const LISTED = `id, name, scopes, subscriber_id AS "subscriberId", allowed_networks AS networks, chosen,
  created_at AS "createdAt", expires_at AS "expiresAt", rotated_at AS "rotatedAt",
  CASE WHEN previous_ends_at > now() THEN previous_ends_at END AS "previousEndsAt", revoked_at AS "revokedAt",
  last_used_at AS "lastUsedAt", last_used_ip AS "lastUsedIp"`;

const KNOWN = `SELECT k.id, k.scopes, k.subscriber_id AS "subscriberId", k.key_hash AS hash,
    CASE WHEN k.previous_ends_at > now() THEN k.previous_hash END AS "previousHash", k.allowed_networks AS networks,
    k.revoked_at IS NOT NULL OR coalesce(k.expires_at <= now(), false)
      OR (k.subscriber_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM subscribers s WHERE s.id = k.subscriber_id AND s.deleted_at IS NULL)) AS ended
  FROM api_keys k`;

// What is over is not counted: it waits to be deleted, and harms nobody.
const LIVE = 'revoked_at IS NULL AND coalesce(expires_at > now(), true)';

export class ApiKeysRepository {
  constructor(private readonly database: Database) {}

  async findById(id: string): Promise<KnownKey | null> {
    const [row] = await this.database.prepared<KnownKey>('api_key_by_id', `${KNOWN} WHERE k.id = $1`, [id]);
    return row ?? null;
  }

  /** For a text that an operator chose, which names no id. */
  async findChosen(hash: Buffer): Promise<KnownKey | null> {
    const [row] = await this.database.prepared<KnownKey>(
      'api_key_by_hash',
      `${KNOWN} WHERE k.key_hash = $1 AND k.chosen`,
      [hash],
    );
    return row ?? null;
  }

  /** Notes that the key is in use; once a minute is enough, so a newer note is left alone. */
  async markUsed(id: string, ip: string): Promise<void> {
    await this.database.query(
      `UPDATE api_keys SET last_used_at = now(), last_used_ip = $2
        WHERE id = $1 AND coalesce(last_used_at < now() - interval '50 seconds', true)`,
      [id, ip],
    );
  }

  /** Answers whether it was inserted: false when the same key is registered already, revoked or not. */
  async insert(tx: Tx, key: NewKey): Promise<boolean> {
    const rows = await tx.query(
      `INSERT INTO api_keys (id, name, key_hash, scopes, subscriber_id, allowed_networks, chosen, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id`,
      [key.id, key.name, key.hash, key.scopes, key.subscriberId, key.networks, key.chosen, key.expiresAt],
    );
    return rows.length > 0;
  }

  /** How many are live. Holds a lock to the end of the transaction: of two at the limit one is refused. */
  async lockAndCountLive(tx: Tx): Promise<number> {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended('posthorn_api_keys', 0))`);
    const [row] = await tx.query<{ n: number }>(`SELECT count(*)::int AS n FROM api_keys WHERE ${LIVE}`);
    return row.n;
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
      `SELECT ${LISTED} FROM api_keys WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2`,
      [page.after ?? null, page.limit],
    );
  }

  async find(on: Reader, id: string): Promise<ListedKey | null> {
    const [row] = await on.query<ListedKey>(`SELECT ${LISTED} FROM api_keys WHERE id = $1`, [id]);
    return row ?? null;
  }

  /** The same, and nobody else changes it until the end of the transaction. */
  async lock(tx: Tx, id: string): Promise<(ListedKey & { ended: boolean }) | null> {
    const [row] = await tx.query<ListedKey & { ended: boolean }>(
      `SELECT ${LISTED}, NOT (${LIVE}) AS ended FROM api_keys WHERE id = $1 FOR UPDATE`,
      [id],
    );
    return row ?? null;
  }

  /** Another text; the present one is good for so long. */
  async rotate(tx: Tx, id: string, hash: Buffer, overlapSeconds: number): Promise<void> {
    await tx.query(
      `UPDATE api_keys SET key_hash = $2, rotated_at = now(),
              previous_hash = CASE WHEN $3::int > 0 THEN key_hash END,
              previous_ends_at = CASE WHEN $3::int > 0 THEN now() + make_interval(secs => $3::int) END
        WHERE id = $1`,
      [id, hash, overlapSeconds],
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

  /** Those that ended so long ago, at most so many. One that the operator chose stays: it would be registered anew. */
  async deleteEnded(days: number, max: number): Promise<number> {
    const rows = await this.database.query(
      `DELETE FROM api_keys WHERE id IN (
         SELECT id FROM api_keys WHERE least(revoked_at, expires_at) < now() - make_interval(days => $1) AND NOT chosen LIMIT $2)
       RETURNING 1 AS one`,
      [days, max],
    );
    return rows.length;
  }
}
