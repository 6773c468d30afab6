import { boundTo, type Scope, type TokenMode } from '@app/contracts';
import type { Database, Tx } from './database.js';
import type { Reader } from './status.queries.js';

/** An access token as it is listed; nobody can list its text. */
export interface ListedToken {
  id: string;
  subscriberId: string;
  mode: TokenMode;
  description: string;
  createdAt: Date;
  expiresAt: Date;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
  lastUsedIp: string | null;
}

export interface NewToken {
  id: string;
  subscriberId: string;
  hash: Buffer;
  mode: TokenMode;
  description: string;
  seconds: number;
}

/** A token as far as a request needs it. */
export interface KnownToken {
  id: string;
  subscriberId: string;
  mode: TokenMode;
  hash: Buffer;
  ended: boolean;
}

const TOKEN = `id, subscriber_id AS "subscriberId", mode, description, created_at AS "createdAt", expires_at AS "expiresAt",
  revoked_at AS "revokedAt", last_used_at AS "lastUsedAt", last_used_ip AS "lastUsedIp"`;

/** What customers were given to look at and manage what is theirs. */
export const accessTokensRepository = {
  async findById(database: Database, id: string): Promise<KnownToken | null> {
    const [row] = await database.prepared<KnownToken>(
      'access_token_by_id',
      `SELECT t.id, t.subscriber_id AS "subscriberId", t.mode, t.token_hash AS hash,
              t.revoked_at IS NOT NULL OR t.expires_at <= now() OR NOT EXISTS (
                SELECT 1 FROM subscribers s WHERE s.id = t.subscriber_id AND s.deleted_at IS NULL) AS ended
         FROM access_tokens t WHERE t.id = $1`,
      [id],
    );
    return row ?? null;
  },

  async markUsed(database: Database, id: string, ip: string): Promise<void> {
    await database.query(
      `UPDATE access_tokens SET last_used_at = now(), last_used_ip = $2
        WHERE id = $1 AND coalesce(last_used_at < now() - interval '50 seconds', true)`,
      [id, ip],
    );
  },

  async countLive(tx: Tx, subscriberId: string): Promise<number> {
    const [row] = await tx.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM access_tokens
        WHERE subscriber_id = $1 AND revoked_at IS NULL AND expires_at > now()`,
      [subscriberId],
    );
    return row.n;
  },

  async insert(tx: Tx, token: NewToken): Promise<ListedToken> {
    const [row] = await tx.query<ListedToken>(
      `INSERT INTO access_tokens (id, subscriber_id, token_hash, mode, description, expires_at)
       VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::int)) RETURNING ${TOKEN}`,
      [token.id, token.subscriberId, token.hash, token.mode, token.description, token.seconds],
    );
    return row;
  },

  /** Newest first, those that are over included until they are deleted. */
  list(
    on: Reader,
    scope: Scope,
    subscriberId: string,
    page: { limit: number; after?: string },
  ): Promise<ListedToken[]> {
    return on.query(
      `SELECT ${TOKEN} FROM access_tokens
        WHERE subscriber_id = $1 AND ($2::uuid IS NULL OR subscriber_id = $2) AND ($3::uuid IS NULL OR id < $3)
        ORDER BY id DESC LIMIT $4`,
      [subscriberId, boundTo(scope), page.after ?? null, page.limit],
    );
  },

  async lock(tx: Tx, subscriberId: string, id: string): Promise<ListedToken | null> {
    const [row] = await tx.query<ListedToken>(
      `SELECT ${TOKEN} FROM access_tokens WHERE id = $1 AND subscriber_id = $2 FOR UPDATE`,
      [id, subscriberId],
    );
    return row ?? null;
  },

  /** A revoked one stays as it is. */
  async revoke(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      `UPDATE access_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 AND subscriber_id = $2`,
      [id, subscriberId],
    );
  },

  /** Those that were over a day ago, at most so many. */
  async deleteEnded(database: Database, max: number): Promise<number> {
    const rows = await database.query(
      `DELETE FROM access_tokens WHERE (id, subscriber_id) IN (
         SELECT id, subscriber_id FROM access_tokens WHERE expires_at < now() - interval '1 day'
          ORDER BY expires_at LIMIT $1) RETURNING 1 AS one`,
      [max],
    );
    return rows.length;
  },
};
