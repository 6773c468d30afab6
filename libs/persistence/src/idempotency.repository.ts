import { IDEMPOTENCY_HOURS } from '@app/contracts';
import type { DataKey, Place } from '@app/sealing';
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

/** What became of a claim: `fresh` means do the work and `store` its answer in the same transaction; `destroyed`: there was an answer, sealed with a key that went with its subscriber. */
export type ClaimResult = 'fresh' | 'in_use' | 'reused' | 'destroyed' | StoredAnswer;

/**
 * The answer is stored by the transaction that does the work: a crash before its commit leaves nothing, one
 * after it leaves the answer. While that transaction runs an advisory lock stands for it, so a second request
 * is told at once instead of waiting. There is no lease to expire.
 */
export const idempotencyRepository = {
  async claim(tx: Tx, claims: IdempotencyClaim[]): Promise<ClaimResult[]> {
    // Sent together: the second sees what was committed when the first had its locks.
    const locking = tx.prepared<{ locked: boolean }>(
      'idempotency_lock',
      `SELECT pg_try_advisory_xact_lock(hashtextextended(k, 20)) AS locked
         FROM unnest($1::text[]) WITH ORDINALITY AS c (k, at) ORDER BY at`,
      [claims.map((claim) => `${claim.scope} ${claim.key}`)],
    );
    const finding = tx.prepared<{
      scope: string;
      key: string;
      fingerprint: Buffer;
      status_code: number;
      response: string | null;
      response_sealed: Buffer;
      sealed_for: string;
      kek_id: string | null;
      wrapped: Buffer;
    }>(
      'idempotency_find',
      `SELECT i.scope, i.key, i.fingerprint, i.status_code, i.response, i.response_sealed, i.sealed_for, y.kek_id, y.wrapped
         FROM idempotency_keys i JOIN unnest($1::text[], $2::text[]) AS c (scope, key) USING (scope, key)
         LEFT JOIN data_keys y ON y.subscriber_id = i.sealed_for
        WHERE i.created_at > now() - make_interval(hours => $3)`,
      [claims.map((claim) => claim.scope), claims.map((claim) => claim.key), IDEMPOTENCY_HOURS],
    );
    const [locks, stored] = await Promise.all([locking, finding]);
    const byKey = new Map(stored.map((row) => [`${row.scope} ${row.key}`, row]));
    return claims.map((claim, at) => {
      if (!locks[at].locked) return 'in_use';
      const row = byKey.get(`${claim.scope} ${claim.key}`);
      if (!row) return 'fresh';
      if (!row.fingerprint.equals(claim.fingerprint)) return 'reused';
      if (row.response !== null) return { statusCode: row.status_code, response: row.response };
      if (row.kek_id === null) return 'destroyed';
      const dataKey = tx.vault.unwrap({
        subscriberId: row.sealed_for,
        kekId: row.kek_id,
        wrapped: row.wrapped,
      });
      return { statusCode: row.status_code, response: dataKey.open(answerAt(claim), row.response_sealed) };
    });
  },

  /** With `sealWith` the answer is stored sealed: it may show a secret. */
  async store(tx: Tx, answers: (IdempotencyClaim & StoredAnswer & { sealWith?: DataKey })[]): Promise<void> {
    await tx.prepared(
      'idempotency_store',
      `INSERT INTO idempotency_keys (scope, key, fingerprint, status_code, response, response_sealed, sealed_for)
       SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::smallint[], $5::text[], $6::bytea[], $7::uuid[])
       ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint,
         status_code = excluded.status_code, response = excluded.response, response_sealed = excluded.response_sealed,
         sealed_for = excluded.sealed_for, created_at = now()`,
      [
        answers.map((a) => a.scope),
        answers.map((a) => a.key),
        answers.map((a) => a.fingerprint),
        answers.map((a) => a.statusCode),
        answers.map((a) => (a.sealWith ? null : a.response)),
        answers.map((a) => a.sealWith?.seal(answerAt(a), a.response) ?? null),
        answers.map((a) => a.sealWith?.subscriberId ?? null),
      ],
    );
  },

  /** Forgets the answers that are too old to be repeated, at most so many at a time. */
  async deleteExpired(database: Database, max: number): Promise<number> {
    const rows = await database.query(
      // An array: see requestLimitsRepository.deleteEnded.
      `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM idempotency_keys WHERE created_at <= now() - make_interval(hours => $1)
          ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1 AS one`,
      [IDEMPOTENCY_HOURS, max],
    );
    return rows.length;
  },
};

function answerAt({ scope, key }: IdempotencyClaim): Place {
  return { table: 'idempotency_keys', row: `${scope} ${key}`, column: 'response_sealed' };
}
