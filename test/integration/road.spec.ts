/**
 * Real: PostgreSQL, pg-boss, HTTP on loopback, signatures. In this process: AcceptEvents, Pump, AttemptDelivery,
 * RecordOutcomes, wired as the apps wire them.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Problem, STAFF } from '@app/contracts';
import { toPublicId } from '@app/domain';
import type { AcceptedEvent } from '@app/ingest';
import type { Database } from '@app/persistence';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { anEvent, openDatabase, registerSubscriber, sha256 } from '../support/fixtures.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';

interface Received {
  path: string;
  headers: Record<string, string>;
  body: Buffer;
}

let url: string;
let drop: () => Promise<void>;
let database: Database;
let road: Pipeline;
let server: Server;
let base: string;
const received: Received[] = [];
let onReceived = (): void => undefined;
let statusOf: (request: IncomingMessage) => number = () => 200;

beforeAll(async () => {
  ({ url, drop } = await createTestDatabase());
  database = await openDatabase(url);
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({
        path: request.url!,
        headers: request.headers as Record<string, string>,
        body: Buffer.concat(chunks),
      });
      response.writeHead(statusOf(request)).end('thanks\0');
      onReceived();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  road = await startPipeline(database, url);
  await road.startPump();
});

afterAll(async () => {
  await road.stop();
  server.close();
  await database.close();
  await drop();
});

async function until(sql: string, values: unknown[], wanted: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const [row] = await database.query<{ n: number }>(sql, values);
    if (row.n === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never became ${wanted}: ${sql}`);
}
const statusIs = (subscriberId: string, status: string, wanted: number): Promise<void> =>
  until(
    'SELECT count(*)::int AS n FROM deliveries WHERE subscriber_id = $1 AND status = $2',
    [subscriberId, status],
    wanted,
  );

describe('the road of one event', () => {
  it('delivers the publisher’s bytes, signed, to every endpoint, and records each attempt', async () => {
    const { subscriberId, secret } = await registerSubscriber(database, [`${base}/a`, `${base}/b`]);
    const data = '{"z":1.0,"a":12345678901234567890,"u":"\\u00e9\\ud800","n":"\\u0000","d":1,"d":2 }';
    const { results } = await road.accept.accept({
      scope: STAFF,
      events: [anEvent(subscriberId, { data })],
      idempotency: null,
    });
    const [event] = results as AcceptedEvent[];
    expect(event).toMatchObject({ deliveries: 2 });
    await statusIs(subscriberId, 'delivered', 2);

    const mine = received.filter((request) => request.headers['webhook-id'] === event.id);
    expect(mine.map((request) => request.path).sort()).toEqual(['/a', '/b']);
    for (const request of mine) {
      new Webhook(secret).verify(request.body.toString(), request.headers);
      const raw = request.body.toString();
      const sent = raw.slice(raw.indexOf('"data":') + 7, -1);
      expect(sha256(sent)).toBe(sha256(data));
      expect(request.headers['posthorn-attempt']).toBe('1');
    }
    const attempts = await database.query('SELECT * FROM attempts WHERE subscriber_id = $1', [subscriberId]);
    expect(attempts).toHaveLength(2);
    expect(attempts[0]).toMatchObject({
      n: 1,
      status: 'delivered',
      status_code: 200,
      response_body: 'thanks␀',
      late: false,
    });
    const [lane] = await database.query(
      'SELECT sum(queued)::int AS queued, sum(held)::int AS held FROM lanes',
    );
    expect(lane).toEqual({ queued: 0, held: 0 });
    expect(await database.query('SELECT 1 AS one FROM pgboss.job')).toEqual([]);
  });

  it('retries a failure by the schedule, outside the lane’s window', async () => {
    const { subscriberId } = await registerSubscriber(database, [`${base}/bad`]);
    statusOf = (request) => (request.url === '/bad' ? 500 : 200);
    await road.accept.accept({ scope: STAFF, events: [anEvent(subscriberId)], idempotency: null });
    await until('SELECT count(*)::int AS n FROM attempts WHERE subscriber_id = $1', [subscriberId], 1);
    const [delivery] = await database.query<{ due: number }>(
      `SELECT status, place, tries, attempts, trigger, failure, status_code, extract(epoch FROM due_at - updated_at)::float8 AS due
         FROM deliveries WHERE subscriber_id = $1`,
      [subscriberId],
    );
    expect(delivery).toMatchObject({
      status: 'pending',
      place: 'waiting',
      tries: 1,
      attempts: 1,
      trigger: 'retry',
      failure: 'http_5xx',
      status_code: 500,
    });
    expect(delivery.due).toBeGreaterThanOrEqual(2.5);
    expect(delivery.due).toBeLessThanOrEqual(7.5);
    statusOf = () => 200;
    await statusIs(subscriberId, 'delivered', 1);
  });

  it('holds what does not fit the window and promotes it, oldest first', async () => {
    const { subscriberId, endpointIds } = await registerSubscriber(database, [`${base}/small`]);
    await database.query('UPDATE lanes SET window_size = 10 WHERE endpoint_id = $1', [endpointIds[0]]);
    const events = Array.from({ length: 100 }, (_, n) => anEvent(subscriberId, { data: String(n) }));
    await road.accept.accept({ scope: STAFF, events, idempotency: null });
    await statusIs(subscriberId, 'delivered', 100);
    expect(
      await database.query('SELECT queued, held FROM lanes WHERE endpoint_id = $1', endpointIds),
    ).toEqual([{ queued: 0, held: 0 }]);
  });

  it('cancels deliveries of a disabled endpoint and says so', async () => {
    const { subscriberId, endpointIds } = await registerSubscriber(database, [`${base}/off`]);
    await database.query('UPDATE endpoints SET disabled_at = now() WHERE id = $1', endpointIds);
    const { results } = await road.accept.accept({
      scope: STAFF,
      events: [anEvent(subscriberId)],
      idempotency: null,
    });
    expect(results[0]).toMatchObject({ deliveries: 1, note: 'only_disabled_endpoints' });
    expect(
      await database.query('SELECT status, cancel_reason FROM deliveries WHERE subscriber_id = $1', [
        subscriberId,
      ]),
    ).toEqual([{ status: 'cancelled', cancel_reason: 'endpoint_disabled' }]);
  });

  it('does not send to an endpoint that was disabled after the event was accepted', async () => {
    const { subscriberId, endpointIds } = await registerSubscriber(database, [`${base}/bad2`]);
    await database.query('UPDATE lanes SET paused_at = now() WHERE endpoint_id = $1', endpointIds);
    await road.accept.accept({ scope: STAFF, events: [anEvent(subscriberId)], idempotency: null });
    expect(
      await database.query('SELECT place FROM deliveries WHERE subscriber_id = $1', [subscriberId]),
    ).toEqual([{ place: 'held' }]);
    expect(received.some((request) => request.path === '/bad2')).toBe(false);
  });
});

describe('accepting', () => {
  it('answers the same key with the same event, another body with a refusal', async () => {
    const { subscriberId } = await registerSubscriber(database, [`${base}/ok`]);
    const claim = { scope: 'k POST /v1/events', key: 'order-1', fingerprint: Buffer.alloc(32, 1) };
    const ask = (fingerprint = claim.fingerprint) =>
      road.accept.accept({
        scope: STAFF,
        events: [anEvent(subscriberId)],
        idempotency: { ...claim, fingerprint },
      });
    const first = await ask();
    const again = await ask();
    expect(again).toEqual({ results: first.results, replayed: true });
    await expect(ask(Buffer.alloc(32, 2))).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    const both = await Promise.allSettled(
      [1, 2].map(() =>
        road.accept.accept({
          scope: STAFF,
          events: [anEvent(subscriberId)],
          idempotency: { ...claim, key: 'order-2' },
        }),
      ),
    );
    expect(
      await database.query('SELECT count(*)::int AS n FROM events WHERE subscriber_id = $1', [subscriberId]),
    ).toEqual([{ n: 2 }]);
    for (const one of both)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'idempotency_key_in_use' });
  });

  it('lets a bad event of a batch fail alone', async () => {
    const { subscriberId } = await registerSubscriber(database, [`${base}/ok`]);
    const { results } = await road.accept.accept({
      scope: STAFF,
      events: [
        anEvent(subscriberId),
        anEvent(subscriberId, { type: 'no.such' }),
        new Problem('invalid_request', 'x'),
        anEvent(subscriberId),
      ],
      idempotency: null,
    });
    expect(results.map((result) => (result instanceof Problem ? result.code : result.deliveries))).toEqual([
      1,
      'unknown_event_type',
      'invalid_request',
      1,
    ]);
  });

  it('a key bound to another subscriber finds nobody', async () => {
    const { subscriberId } = await registerSubscriber(database, []);
    const other = await registerSubscriber(database, []);
    const { results } = await road.accept.accept({
      scope: { kind: 'subscriber', subscriberId: other.subscriberId },
      events: [anEvent(subscriberId)],
      idempotency: null,
    });
    expect(results[0]).toMatchObject({ code: 'unknown_subscriber' });
  });

  it('takes a publisher’s own id once', async () => {
    const { subscriberId } = await registerSubscriber(database, [`${base}/ok`]);
    const { newId, systemRandom } = await import('@app/domain');
    const id = newId(Date.now(), systemRandom);
    const accept = (data: string) =>
      road.accept.accept({ scope: STAFF, events: [anEvent(subscriberId, { id, data })], idempotency: null });
    expect((await accept('1')).results[0]).toMatchObject({ id: toPublicId('evt', id), deliveries: 1 });
    expect((await accept('1')).results[0]).toMatchObject({ id: toPublicId('evt', id), deliveries: 1 });
    expect((await accept('2')).results[0]).toMatchObject({ code: 'event_id_in_use' });
    expect(
      await database.query('SELECT count(*)::int AS n FROM deliveries WHERE subscriber_id = $1', [
        subscriberId,
      ]),
    ).toEqual([{ n: 1 }]);
  });

  it('survives what the database refuses in one request of a group', async () => {
    const { subscriberId } = await registerSubscriber(database, [`${base}/ok`]);
    const bad = anEvent(subscriberId, { data: '"\0"' });
    const answers = await Promise.allSettled(
      [anEvent(subscriberId), anEvent(subscriberId), bad, anEvent(subscriberId), anEvent(subscriberId)].map(
        (event) => road.accept.accept({ scope: STAFF, events: [event], idempotency: null }),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });
});
