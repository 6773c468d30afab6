import { createHash } from 'node:crypto';
import { API_ROLE, WORKER_ROLE } from '@app/contracts';
import { newId, systemRandom } from '@app/domain';
import type { AcceptableEvent } from '@app/ingest';
import { createDataSource, Database, endpointSecretsRepository } from '@app/persistence';
import { generateSecret } from '@app/signing';
import { testKeyring } from './keks.js';

/**
 * A pool on this database, as the worker makes it: everybody's rows. `api`: those of a scope (inScopes, asSystem).
 * `owner`: for tests that change the schema.
 */
export async function openDatabase(
  url: string,
  as: 'worker' | 'api' | 'owner' = 'worker',
  keyring = testKeyring(),
): Promise<Database> {
  const role = ({ worker: WORKER_ROLE, api: API_ROLE, owner: undefined } as const)[as];
  const dataSource = createDataSource({ url, applicationName: 'posthorn-test', poolMax: 10, role });
  await dataSource.initialize();
  return new Database(dataSource, systemRandom, keyring);
}

export interface Fixture {
  subscriberId: string;
  externalId: string;
  /** In the order of the URLs. */
  endpointIds: string[];
  secret: string;
}

/** One subscriber with an endpoint for each URL, subscribed to everything, and the event type `thing.happened`. */
export async function registerSubscriber(database: Database, urls: string[]): Promise<Fixture> {
  const subscriberId = id();
  const externalId = `customer-${subscriberId}`;
  const secret = generateSecret(systemRandom);
  await database.query('INSERT INTO subscribers (id, external_id, name) VALUES ($1, $2, $2)', [
    subscriberId,
    externalId,
  ]);
  await database.query(`INSERT INTO event_types (name) VALUES ('thing.happened') ON CONFLICT DO NOTHING`);
  await database.query(
    `INSERT INTO event_type_versions (event_type, version) VALUES ('thing.happened', '1') ON CONFLICT DO NOTHING`,
  );
  const endpointIds: string[] = [];
  for (const url of urls) {
    const endpointId = id();
    endpointIds.push(endpointId);
    await database.query(
      `INSERT INTO endpoints (id, subscriber_id, url, event_types) VALUES ($1, $2, $3, '{*}')`,
      [endpointId, subscriberId, url],
    );
    await database.query('INSERT INTO lanes (endpoint_id, subscriber_id) VALUES ($1, $2)', [
      endpointId,
      subscriberId,
    ]);
    await database.transaction((tx) =>
      endpointSecretsRepository.insert(tx, { id: id(), subscriberId, endpointId, secret }),
    );
  }
  return { subscriberId, externalId, endpointIds, secret };
}

/** An event of that subscriber, ready for AcceptEvents. */
export function anEvent(subscriberId: string, overrides: Partial<AcceptableEvent> = {}): AcceptableEvent {
  return {
    subscriber: { id: subscriberId },
    type: 'thing.happened',
    version: null,
    data: '{"n":1}',
    occurredAt: null,
    id: null,
    priority: 'normal',
    orderingKey: null,
    traceparent: null,
    ...overrides,
  };
}

export function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function id(): string {
  return newId(Date.now(), systemRandom);
}
