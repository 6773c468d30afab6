import { SealError, type WrappedKey } from '@app/sealing';
import type { Database, Tx } from './database.js';
import { headersAt, secretAt } from './endpoints.repository.js';

const WRAPPED = 'subscriber_id AS "subscriberId", kek_id AS "kekId", wrapped';

/** The data keys of subscribers, wrapped. Unwrapping is the vault's. */
export const dataKeysRepository = {
  /** How many are wrapped by each KEK. */
  async countByKek(on: Pick<Database, 'query'>): Promise<{ kekId: string; n: number }[]> {
    return on.query(
      'SELECT kek_id AS "kekId", count(*)::int AS n FROM data_keys GROUP BY kek_id ORDER BY kek_id',
    );
  },

  /** One of each KEK, by steps along data_keys_kek: however many subscribers there are, a look-up per KEK. */
  async oneOfEach(on: Pick<Database, 'query'>): Promise<WrappedKey[]> {
    return on.query(
      `WITH RECURSIVE one AS (
         (SELECT * FROM data_keys ORDER BY kek_id, subscriber_id LIMIT 1)
         UNION ALL
         SELECT n.* FROM one CROSS JOIN LATERAL (
           SELECT * FROM data_keys k WHERE k.kek_id > one.kek_id ORDER BY k.kek_id, k.subscriber_id LIMIT 1) n)
       SELECT ${WRAPPED} FROM one`,
    );
  },

  /**
   * Wraps at most `max` keys anew that another KEK than the primary one has wrapped, and answers how many. Values stay as
   * they are: the data key is the same, so whoever seals or opens meanwhile is not disturbed. `wait`: also for those
   * that somebody else has locked.
   */
  async rewrapSome(tx: Tx, max: number, wait: boolean): Promise<number> {
    const { keks } = tx.vault;
    const rows = await tx.query<WrappedKey>(
      `SELECT ${WRAPPED} FROM data_keys WHERE kek_id <> $1 ORDER BY kek_id, subscriber_id LIMIT $2 FOR UPDATE ${wait ? '' : 'SKIP LOCKED'}`,
      [keks.primaryId, max],
    );
    const rewrapped = rows.map((row) => keks.rewrap(row));
    await tx.query(
      `UPDATE data_keys k SET kek_id = n.kek_id, wrapped = n.wrapped, rewrapped_at = now()
         FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS n (id, kek_id, wrapped) WHERE k.subscriber_id = n.id`,
      [
        rewrapped.map((row) => row.subscriberId),
        rewrapped.map((row) => row.kekId),
        rewrapped.map((row) => row.wrapped),
      ],
    );
    return rows.length;
  },
};

/** Why this process must not start with its KEKs; null when they open every data key, as far as one of each KEK tells. */
export async function refuseWrongKeks(database: Pick<Database, 'query' | 'vault'>): Promise<string | null> {
  const { keks } = database.vault;
  const rows = await dataKeysRepository.oneOfEach(database);
  const missing = rows.map((row) => row.kekId).filter((id) => !keks.ids.includes(id));
  if (missing.length > 0)
    return `The secrets in the database are under the key${missing.length > 1 ? 's' : ''} ${missing.join(', ')}, which this process is not given (it has ${keks.ids.join(', ')}): add ${missing.length > 1 ? 'them' : 'it'} to POSTHORN_KEKS or to the key file, or, while they are at hand elsewhere, run \`posthorn keys rewrap\` there first.`;
  for (const row of rows)
    try {
      keks.unwrap(row);
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      return `The key ${row.kekId} that this process is given is not the one of that id that the database was written with: it opens nothing.`;
    }
  return null;
}

/** What is left in plain text. */
export interface PlainLeft {
  secrets: number;
  headers: number;
}

/** What was stored before secrets were sealed, or by an old version since. Every method is one step of a batch. */
export const sealPlainRepository = {
  async count(on: Pick<Database, 'query'>): Promise<PlainLeft> {
    const [row] = await on.query<PlainLeft>(
      `SELECT (SELECT count(*) FROM endpoint_secrets WHERE secret IS NOT NULL)::int AS secrets,
              (SELECT count(*) FROM endpoints WHERE headers_sealed IS NULL AND headers <> '{}')::int AS headers`,
    );
    return row;
  },

  /** Seals at most `max` secrets; those of deleted subscribers, who have no key and sign nothing, are destroyed. */
  async sealSecrets(tx: Tx, max: number, wait: boolean): Promise<number> {
    const rows = await tx.query<{ id: string; subscriberId: string; secret: string }>(
      `SELECT id, subscriber_id AS "subscriberId", secret FROM endpoint_secrets
        WHERE secret IS NOT NULL ORDER BY id LIMIT $1 FOR UPDATE ${wait ? '' : 'SKIP LOCKED'}`,
      [max],
    );
    const keys = await keysFor(tx, rows);
    const sealed = rows.flatMap(({ id, subscriberId, secret }) => {
      const key = keys.get(subscriberId);
      return key ? [{ id, bytes: key.seal(secretAt(id), secret) }] : [];
    });
    await tx.query(
      `UPDATE endpoint_secrets k SET secret = NULL, secret_sealed = n.sealed
         FROM unnest($1::uuid[], $2::bytea[]) AS n (id, sealed) WHERE k.id = n.id`,
      [sealed.map(({ id }) => id), sealed.map(({ bytes }) => bytes)],
    );
    const orphans = rows.filter(({ subscriberId }) => !keys.has(subscriberId));
    await tx.query('DELETE FROM endpoint_secrets WHERE id = ANY($1::uuid[])', [orphans.map(({ id }) => id)]);
    return rows.length;
  },

  /** The same for the headers of at most `max` endpoints. */
  async sealHeaders(tx: Tx, max: number, wait: boolean): Promise<number> {
    const rows = await tx.query<{ id: string; subscriberId: string; headers: Record<string, string> }>(
      `SELECT id, subscriber_id AS "subscriberId", headers FROM endpoints
        WHERE headers_sealed IS NULL AND headers <> '{}' ORDER BY id LIMIT $1 FOR UPDATE ${wait ? '' : 'SKIP LOCKED'}`,
      [max],
    );
    const keys = await keysFor(tx, rows);
    const changes = rows.map(({ id, subscriberId, headers }) => {
      const key = keys.get(subscriberId);
      const names = key ? Object.fromEntries(Object.keys(headers).map((name) => [name, ''])) : {};
      return {
        id,
        names: JSON.stringify(names),
        sealed: key?.seal(headersAt(id), JSON.stringify(headers)) ?? null,
      };
    });
    await tx.query(
      `UPDATE endpoints e SET headers = n.names, headers_sealed = n.sealed
         FROM unnest($1::uuid[], $2::jsonb[], $3::bytea[]) AS n (id, names, sealed) WHERE e.id = n.id`,
      [changes.map(({ id }) => id), changes.map(({ names }) => names), changes.map(({ sealed }) => sealed)],
    );
    return rows.length;
  },
};

async function keysFor(tx: Tx, rows: { subscriberId: string }[]) {
  const ids = [...new Set(rows.map((row) => row.subscriberId))];
  await tx.vault.makeKeys(tx, ids);
  return tx.vault.findKeys(tx, ids);
}
