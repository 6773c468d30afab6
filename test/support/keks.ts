import { systemRandom } from '@app/domain';
import { Keyring, parseKeks } from '@app/sealing';
import type { Tables } from './tables.js';

/** The key-encryption key of every process and pool that tests start. Of no use anywhere else. */
export const TEST_KEKS = 'test:dGhlIGtleSBvZiBhbGwgdGVzdHMsIDMyIGJ5dGVzLi4=';

export const testKeyring = (): Keyring => new Keyring(parseKeks(TEST_KEKS), systemRandom);

export interface StoredSecret {
  endpointId: string;
  url: string;
  secret: string;
  createdAt: Date;
  /** Null for the current one. */
  expiresAt: Date | null;
}

/** Every signing secret in a database of tests, opened. */
export async function storedSecrets(tables: Pick<Tables, 'rows'>): Promise<StoredSecret[]> {
  const keyring = testKeyring();
  const rows = await tables.rows<
    StoredSecret & { id: string; subscriberId: string; sealed: Buffer; kekId: string; wrapped: Buffer }
  >(
    `SELECT s.id, s.endpoint_id AS "endpointId", e.url, s.secret_sealed AS sealed, s.created_at AS "createdAt",
            nullif(s.expires_at, 'infinity') AS "expiresAt", s.subscriber_id AS "subscriberId", k.kek_id AS "kekId", k.wrapped
       FROM endpoint_secrets s JOIN endpoints e ON e.id = s.endpoint_id JOIN data_keys k ON k.subscriber_id = s.subscriber_id`,
  );
  return rows.map(({ id, sealed, endpointId, url, createdAt, expiresAt, ...key }) => {
    const place = { table: 'endpoint_secrets', row: id, column: 'secret_sealed' };
    return { endpointId, url, createdAt, expiresAt, secret: keyring.unwrap(key).open(place, sealed) };
  });
}
