import type { Pool } from 'pg';
import { newId, systemRandom } from '../../../libs/domain/src/index.js';
import { generateSecret } from '../../../libs/signing/src/index.js';
import { testKeyring } from '../../support/keks.js';
import { EVENT_TYPE } from '../payload.js';

const CHUNK = 2_000;
const ENDPOINTS_EACH = 2;

/**
 * Subscribers with a data key, and endpoints with a sealed secret and a lane, as the product makes them. A table
 * `seed_endpoints` numbers the endpoints, for seedDay.
 */
export async function seedSubscribers(pool: Pool, count: number): Promise<void> {
  await pool.query(
    'CREATE UNLOGGED TABLE seed_endpoints (n integer PRIMARY KEY, endpoint_id uuid NOT NULL, subscriber_id uuid NOT NULL)',
  );
  const keyring = testKeyring();
  const atMs = Date.now() - 40 * 86_400_000;
  for (let from = 0; from < count; from += CHUNK) {
    const subscribers = Array.from({ length: Math.min(CHUNK, count - from) }, (_, i) => {
      const id = newId(atMs + from + i, systemRandom);
      const key = keyring.make(id);
      return { n: from + i, id, key, dataKey: keyring.unwrap(key) };
    });
    const endpoints = subscribers.flatMap(({ n, id: subscriberId, dataKey }) =>
      Array.from({ length: ENDPOINTS_EACH }, (_, i) => {
        const secretId = newId(atMs + n, systemRandom);
        const place = { table: 'endpoint_secrets', row: secretId, column: 'secret_sealed' };
        return {
          n: n * ENDPOINTS_EACH + i,
          id: newId(atMs + n, systemRandom),
          subscriberId,
          secretId,
          sealed: dataKey.seal(place, generateSecret(systemRandom)),
        };
      }),
    );
    await pool.query(
      `INSERT INTO subscribers (id, external_id, name)
       SELECT id, 'customer-' || n, 'Customer ' || n FROM unnest($1::uuid[], $2::int[]) AS s (id, n)`,
      [subscribers.map(({ id }) => id), subscribers.map(({ n }) => n)],
    );
    await pool.query(
      'INSERT INTO data_keys (subscriber_id, kek_id, wrapped) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])',
      [
        subscribers.map(({ id }) => id),
        subscribers.map(({ key }) => key.kekId),
        subscribers.map(({ key }) => key.wrapped),
      ],
    );
    const columns = [
      endpoints.map(({ id }) => id),
      endpoints.map(({ subscriberId }) => subscriberId),
      endpoints.map(({ n }) => n),
    ];
    await pool.query(
      `WITH e AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS e (id, subscriber_id, n)),
            numbered AS (INSERT INTO seed_endpoints SELECT n, id, subscriber_id FROM e)
       INSERT INTO endpoints (id, subscriber_id, url, event_types)
       SELECT id, subscriber_id, 'https://customer-' || n || '.example.com/hooks', $4::text[] FROM e`,
      [...columns, [EVENT_TYPE]],
    );
    await pool.query(
      'INSERT INTO lanes (endpoint_id, subscriber_id, window_size) SELECT *, 2000 FROM unnest($1::uuid[], $2::uuid[])',
      columns.slice(0, 2),
    );
    await pool.query(
      `INSERT INTO endpoint_secrets (id, endpoint_id, subscriber_id, secret_sealed)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[])`,
      [
        endpoints.map(({ secretId }) => secretId),
        columns[0],
        columns[1],
        endpoints.map(({ sealed }) => sealed),
      ],
    );
  }
}
