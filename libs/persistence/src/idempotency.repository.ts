import { IDEMPOTENCY_HOURS } from '@app/contracts';
import type { Database, Tx } from './database.js';

/** One request as far as repeating it goes: who asked for what route, under which key, with what. */
export interface IdempotencyClaim {
  /** Key id, method and path: nobody is ever answered with another's response. */
  scope: string;
  key: string;
  /** SHA-256 of the request's body. */
  fingerprint: Buffer;
}

export interface StoredAnswer {
  statusCode: number;
  /** The body, as it was sent. */
  response: string;
}

/** What became of a claim: `fresh` means do the work and `store` its answer in the same transaction. */
export type ClaimResult = 'fresh' | 'in_use' | 'reused' | StoredAnswer;

/**
 * The answer is stored by the transaction that does the work: a crash before its commit leaves nothing, one
 * after it leaves the answer. While that transaction runs an advisory lock stands for it, so a second request
 * is told at once instead of waiting. There is no lease to expire.
 */
export const idempotencyRepository = {
  async claim(tx: Tx, claims: IdempotencyClaim[]): Promise<ClaimResult[]> {
    const locks = await tx.query<{ locked: boolean }>(
      `SELECT pg_try_advisory_xact_lock(hashtextextended(k, 20)) AS locked
         FROM unnest($1::text[]) WITH ORDINALITY AS c (k, at) ORDER BY at`,
      [claims.map((claim) => `${claim.scope} ${claim.key}`)],
    );
    const stored = await tx.query<{
      scope: string;
      key: string;
      fingerprint: Buffer;
      status_code: number;
      response: string;
    }>(
      `SELECT i.scope, i.key, i.fingerprint, i.status_code, i.response
         FROM idempotency_keys i JOIN unnest($1::text[], $2::text[]) AS c (scope, key) USING (scope, key)
        WHERE i.created_at > now() - make_interval(hours => $3)`,
      [claims.map((claim) => claim.scope), claims.map((claim) => claim.key), IDEMPOTENCY_HOURS],
    );
    const byKey = new Map(stored.map((row) => [`${row.scope} ${row.key}`, row]));
    return claims.map((claim, at) => {
      if (!locks[at].locked) return 'in_use';
      const row = byKey.get(`${claim.scope} ${claim.key}`);
      if (!row) return 'fresh';
      if (!row.fingerprint.equals(claim.fingerprint)) return 'reused';
      return { statusCode: row.status_code, response: row.response };
    });
  },

  async store(tx: Tx, answers: (IdempotencyClaim & StoredAnswer)[]): Promise<void> {
    await tx.query(
      `INSERT INTO idempotency_keys (scope, key, fingerprint, status_code, response)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::smallint[], $5::text[])
       ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint,
         status_code = excluded.status_code, response = excluded.response, created_at = now()`,
      [
        answers.map((a) => a.scope),
        answers.map((a) => a.key),
        answers.map((a) => a.fingerprint),
        answers.map((a) => a.statusCode),
        answers.map((a) => a.response),
      ],
    );
  },

  /** Forgets the answers that are too old to be repeated, at most so many at a time. */
  async deleteExpired(database: Database, max: number): Promise<number> {
    const rows = await database.query(
      `DELETE FROM idempotency_keys WHERE (scope, key) IN (
         SELECT scope, key FROM idempotency_keys WHERE created_at <= now() - make_interval(hours => $1)
          ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING 1 AS one`,
      [IDEMPOTENCY_HOURS, max],
    );
    return rows.length;
  },
};
