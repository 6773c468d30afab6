/**
 * Real: the api over HTTP, PostgreSQL, pg-boss, a pump and signed requests to a receiver on loopback that repeats what it
 * gets. Proves: no secret, no header value and no payload of a subscriber that wants so stands in the database in any form;
 * what is sealed opens in its own row only; nothing opens once the subscriber is deleted, and nothing breaks by that.
 */
import 'reflect-metadata';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fromPublicId, newId, systemRandom, toPublicId } from '@app/domain';
import { PublishNotices } from '@app/ingest';
import { createLogger } from '@app/observability';
import { dataKeysRepository, PumpRepository, type Database } from '@app/persistence';
import { Keyring, newKekText, parseKeks } from '@app/sealing';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealSecrets } from '../../apps/cli/src/seal-secrets.js';
import { findInDatabase } from '../support/database-scan.js';
import { openDatabase } from '../support/fixtures.js';
import { TEST_KEKS } from '../support/keks.js';
import { startPipeline, type Pipeline } from '../support/pipeline.js';
import { openTables, type Tables } from '../support/tables.js';
import { startApi, type ApiFixture } from './api-fixture.js';

interface Hit {
  path: string;
  headers: Record<string, string>;
  body: string;
}

let fixture: ApiFixture;
let database: Database;
let road: Pipeline;
let tables: Tables;
let server: Server;
const hits: Hit[] = [];

const NEXT_KEK = newKekText(systemRandom);
const KEKS = `${TEST_KEKS},${NEXT_KEK}`;

const call: ApiFixture['call'] = (...request) => fixture.call(...request);

beforeAll(async () => {
  fixture = await startApi({ POSTHORN_KEKS: KEKS });
  database = await openDatabase(fixture.databaseUrl, 'worker', new Keyring(parseKeks(KEKS), systemRandom));
  tables = openTables(fixture.databaseUrl);
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      hits.push({ path: request.url!, headers: request.headers as Record<string, string>, body });
      response
        .writeHead(request.url === '/broken' ? 500 : 200, {
          'x-echo': body.slice(-60).replaceAll(/[^\w-]/g, ''),
        })
        .end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  road = await startPipeline(database, fixture.databaseUrl);
  await road.startPump();
  await call('POST', '/v1/event-types', { name: 'thing.happened' });
});

afterAll(async () => {
  await road?.stop();
  server?.close();
  await tables?.close();
  await database?.close();
  await fixture?.stop();
});

let count = 0;
const marker = (): string => `marker-${++count}-${Math.random().toString(36).slice(2)}-end`;

/** A subscriber with an endpoint that the receiver answers for. */
async function customer(body: object = {}, endpoint: object = {}, idempotencyKey?: string) {
  const name = `c${++count}`;
  const { port } = server.address() as AddressInfo;
  const subscriber = (await call('POST', '/v1/subscribers', { name, externalId: name, ...body })).body;
  const wanted = { url: `http://127.0.0.1:${port}/${name}`, ...endpoint };
  const headers: Record<string, string> =
    idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
  const made = await call('POST', `/v1/subscribers/${name}/endpoints`, wanted, { headers });
  expect(made.status).toBe(201);
  return {
    name,
    subscriber,
    endpoint: made.body,
    path: `/v1/subscribers/${name}/endpoints/${made.body.id}`,
    made,
  };
}

async function publish(subscriber: string, data: unknown, more: object = {}): Promise<string> {
  const event = { subscriber, type: 'thing.happened', data, ...more };
  const answer = await call('POST', '/v1/events', event);
  expect(answer.status).toBe(202);
  return answer.body.id as string;
}

const settled = (event: string) =>
  tables.until(
    `SELECT count(*) > 0 AND bool_and(status <> 'pending') AS ok FROM deliveries WHERE event_id = $1`,
    [fromPublicId('evt', event)],
  );

const deliveryOf = async (event: string) => {
  const { deliveries } = (await call('GET', `/v1/events/${event}`)).body;
  return (await call('GET', `/v1/deliveries/${deliveries[0].id}`)).body;
};

describe('the database', () => {
  it('holds no secret, header value or encrypted payload, in any column, in any form', async () => {
    const [header, changed, payload, own] = [marker(), marker(), marker(), marker()];
    const ownSecret = `whsec_${Buffer.from(own.padEnd(32, '.')).toString('base64')}`;
    const acme = await customer({ encryptPayloads: true }, { headers: { 'x-token': header } }, 'make-acme');
    const rotated = await call(
      'POST',
      `${acme.path}/secret/rotate`,
      { secret: ownSecret },
      { headers: { 'idempotency-key': 'rotate' } },
    );
    expect(rotated.body.data[0].secret).toBe(ownSecret);
    await call('PATCH', acme.path, { headers: { 'x-other': changed } });
    // Byte for byte: spaces, order and numbers as the publisher wrote them.
    const data = `{"z": 1.0,  "note":"${payload}","a":12345678901234567890}`;
    const sent = await call(
      'POST',
      '/v1/events',
      `{"subscriber":"${acme.name}","type":"thing.happened","data":${data}}`,
    );
    await settled(sent.body.id);

    const hit = hits.find(({ path }) => path === `/${acme.name}`)!;
    expect(hit.body).toContain(`"data":${data}}`);
    expect(hit.headers).toMatchObject({ 'x-token': header, 'x-other': changed });
    for (const secret of [acme.endpoint.secret, ownSecret]) new Webhook(secret).verify(hit.body, hit.headers);
    const delivery = await deliveryOf(sent.body.id);
    expect(delivery.event).toMatchObject({ data, dataMissing: null });
    expect(delivery.request.body).toBe(hit.body);
    expect(delivery.timeline[0].response).toMatchObject({ body: hit.body, encoding: 'utf8', missing: null });
    expect(delivery.timeline[0].response.headers['x-echo']).toContain(payload);
    expect((await call('GET', `/v1/events/${sent.body.id}`)).body.data).toBe(data);
    // The answer with the secret is repeated all the same.
    const again = await call(
      'POST',
      `/v1/subscribers/${acme.name}/endpoints`,
      { url: acme.endpoint.url, headers: { 'x-token': header } },
      { headers: { 'idempotency-key': 'make-acme' } },
    );
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.text).toBe(acme.made.text);

    const secrets = { first: acme.endpoint.secret.slice(6), rotated: ownSecret.slice(6), own };
    const needles = { ...secrets, header, changed, payload };
    expect(await findInDatabase(tables, needles)).toEqual([]);
    // Seen to find: the same payload of one who does not want it sealed.
    const open = await customer();
    await settled(await publish(open.name, { payload }));
    expect(await findInDatabase(tables, needles)).toEqual([
      expect.stringMatching(/^public\.attempts_\d+: payload$/),
      expect.stringMatching(/^public\.events_\d+: payload$/),
    ]);
  });

  it('opens a sealed value in its own row only; what does not open is our fault, and spoils no other endpoint', async () => {
    const [a, b] = [
      await customer({}, { headers: { 'x-token': marker() } }),
      await customer({}, { headers: { 'x-token': marker() } }),
    ];
    const [idA, idB] = [a, b].map(({ endpoint }) => fromPublicId('ep', endpoint.id)!);
    const copy = [
      `UPDATE endpoints SET headers_sealed = (SELECT headers_sealed FROM endpoints WHERE id = $1) WHERE id = $2`,
      `UPDATE endpoint_secrets SET secret_sealed = (SELECT secret_sealed FROM endpoint_secrets WHERE endpoint_id = $1) WHERE endpoint_id = $2`,
    ];
    const kept = await tables.row<{ headers: Buffer; secret: Buffer }>(
      `SELECT e.headers_sealed AS headers, s.secret_sealed AS secret FROM endpoints e JOIN endpoint_secrets s ON s.endpoint_id = e.id WHERE e.id = $1`,
      [idB],
    );
    for (const statement of copy) {
      await tables.rows(statement, [idA, idB]);
      const [toA, toB] = [await publish(a.name, {}), await publish(b.name, {})];
      await settled(toA);
      await tables.until(`SELECT attempts > 0 AS ok FROM deliveries WHERE event_id = $1`, [
        fromPublicId('evt', toB),
      ]);
      expect(await deliveryOf(toA)).toMatchObject({ status: 'delivered' });
      expect(await deliveryOf(toB)).toMatchObject({ status: 'pending', failure: 'internal', attempts: 1 });
      expect(hits.filter(({ path }) => path === `/${b.name}`)).toEqual([]);
      await tables.rows('UPDATE endpoints SET headers_sealed = $2 WHERE id = $1', [idB, kept.headers]);
      await tables.rows('UPDATE endpoint_secrets SET secret_sealed = $2 WHERE endpoint_id = $1', [
        idB,
        kept.secret,
      ]);
    }
    // Another subscriber's payload in place of one's own.
    const [c, d] = [await customer({ encryptPayloads: true }), await customer({ encryptPayloads: true })];
    await call('POST', `${d.path}/pause`);
    const [toC, toD] = [await publish(c.name, {}), await publish(d.name, {})];
    await tables.rows(
      'UPDATE events SET data_sealed = (SELECT data_sealed FROM events WHERE id = $1) WHERE id = $2',
      [fromPublicId('evt', toC), fromPublicId('evt', toD)],
    );
    await call('POST', `${d.path}/resume`);
    await road.lanes.promoteStalled();
    await tables.until(`SELECT attempts > 0 AS ok FROM deliveries WHERE event_id = $1`, [
      fromPublicId('evt', toD),
    ]);
    expect(hits.filter(({ path }) => path === `/${d.name}`)).toEqual([]);
  });
});

describe('encrypted payloads', () => {
  it('are those from when it is switched on until it is switched off; all stay readable', async () => {
    const it = await customer();
    const texts = [marker(), marker(), marker()];
    const before = await publish(it.name, { text: texts[0] });
    await call('PATCH', `/v1/subscribers/${it.name}`, { encryptPayloads: true });
    const during = await publish(it.name, { text: texts[1] });
    expect(
      (await call('PATCH', `/v1/subscribers/${it.name}`, { encryptPayloads: false })).body.encryptPayloads,
    ).toBe(false);
    const after = await publish(it.name, { text: texts[2] });
    for (const [at, event] of [before, during, after].entries()) {
      await settled(event);
      expect((await call('GET', `/v1/events/${event}`)).body.data).toBe(`{"text":"${texts[at]}"}`);
    }
    const found = await findInDatabase(tables, { before: texts[0], during: texts[1], after: texts[2] });
    expect(found.filter((each) => each.endsWith('during'))).toEqual([]);
    expect(found).toHaveLength(4);
  });

  it('are the same event when its own id comes again', async () => {
    const { name } = await customer({ encryptPayloads: true });
    const id = toPublicId('evt', newId(Date.now(), systemRandom));
    const own = (data: object) =>
      call('POST', '/v1/events', { subscriber: name, type: 'thing.happened', id, data });
    expect((await own({ a: 1 })).status).toBe(202);
    expect((await own({ a: 1 })).body).toMatchObject({ id });
    expect((await own({ a: 2 })).body).toMatchObject({ code: 'event_id_in_use' });
  });

  it('are gone with the subscriber: staff see why, a claimed ticket ends, a stored answer is not given', async () => {
    const payload = marker();
    const it = await customer({ encryptPayloads: true }, {}, 'make-gone');
    const event = await publish(it.name, { payload });
    await settled(event);
    await call('POST', `${it.path}/pause`);
    const waiting = await publish(it.name, { payload });
    const key = await tables.row<{ wrapped: Buffer }>(
      'SELECT wrapped FROM data_keys WHERE subscriber_id = $1',
      [fromPublicId('sub', it.subscriber.id)],
    );
    const claims = `SELECT count(*)::int AS n FROM data_keys WHERE wrapped = $1`;
    expect((await tables.row<{ n: number }>(claims, [key.wrapped])).n).toBe(1);
    expect((await call('DELETE', `/v1/subscribers/${it.name}`)).status).toBe(204);
    expect((await tables.row<{ n: number }>(claims, [key.wrapped])).n).toBe(0);

    const shown = (await call('GET', `/v1/events/${event}`)).body;
    expect(shown).toMatchObject({ data: null, dataMissing: 'key_destroyed' });
    const delivery = (await call('GET', `/v1/deliveries/${shown.deliveries[0].id}`)).body;
    expect(delivery.event).toMatchObject({ data: null, dataMissing: 'key_destroyed' });
    expect(delivery.request).toBeNull();
    expect(delivery.timeline[0].response).toMatchObject({
      body: null,
      headers: {},
      missing: 'key_destroyed',
    });
    expect((await call('GET', `/v1/deliveries/${shown.deliveries[0].id}/explain`)).status).toBe(200);
    // As a worker that had claimed it meets it: the ticket ends, nothing is sent.
    const loaded = await new PumpRepository(database).loadDeliveries([
      fromPublicId('dlv', (await call('GET', `/v1/events/${waiting}`)).body.deliveries[0].id)!,
    ]);
    expect(loaded[0]).toMatchObject({ destroyed: true, dataKey: null });
    await road.lanes.cancelStopped();
    await settled(waiting);
    expect(hits.filter(({ path }) => path === `/${it.name}`)).toHaveLength(1);
    const again = await call(
      'POST',
      `/v1/subscribers/${it.name}/endpoints`,
      { url: it.endpoint.url },
      { headers: { 'idempotency-key': 'make-gone' } },
    );
    expect(again.status).toBe(404);
    expect(await findInDatabase(tables, { payload })).toEqual([]);
  });

  it('go sealed into the event that tells of their failure, also when it is switched off by then', async () => {
    const payload = marker();
    const it = await customer({ encryptPayloads: true });
    const { port } = server.address() as AddressInfo;
    const told = (
      await call('POST', `/v1/subscribers/${it.name}/endpoints`, {
        url: `http://127.0.0.1:${port}/told-${it.name}`,
        eventTypes: ['nothing'],
      })
    ).body;
    // Its receiver is out of order, and there is one try.
    const changed = await call('PATCH', it.path, {
      url: `http://127.0.0.1:${port}/broken`,
      onFailure: { endpoint: told.id },
      retryPolicy: { type: 'fixed', attemptsMax: 1, delaySeconds: 1 },
    });
    expect(changed.status).toBe(200);
    const event = await publish(it.name, { payload });
    await settled(event);
    await call('PATCH', `/v1/subscribers/${it.name}`, { encryptPayloads: false });
    const notices = new PublishNotices(
      database,
      road.accept,
      road.metrics,
      createLogger({ level: 'silent', process: 'test' }),
      {
        operationalSubscriber: '',
      },
    );
    expect(await notices.runOnce()).toBe(1);
    await tables.until(
      `SELECT count(*) = 1 AS ok FROM deliveries WHERE endpoint_id = $1 AND status = 'delivered'`,
      [fromPublicId('ep', told.id)],
    );
    expect(hits.find(({ path }) => path === `/told-${it.name}`)!.body).toContain(payload);
    expect(await findInDatabase(tables, { payload })).toEqual([]);
  });
});

describe('another key-encryption key', () => {
  it('takes over while events are published and delivered and secrets rotate, and nothing is lost', async () => {
    const all = [
      await customer({ encryptPayloads: true }),
      await customer({ encryptPayloads: true }),
      await customer(),
    ];
    // Those that run know the new key already, as the second one; who rewraps has it first.
    const both = new Keyring(parseKeks(`${NEXT_KEK},${TEST_KEKS}`), systemRandom);
    const pool = await openDatabase(fixture.databaseUrl, 'worker', both);
    const sent: string[] = [];
    let rewrapping = true;
    const busy = all.map(async ({ name, path }) => {
      while (rewrapping) {
        sent.push(await publish(name, { n: sent.length }));
        expect((await call('POST', `${path}/secret/rotate`, { overlapSeconds: 0 })).status).toBe(200);
      }
    });
    const done = await sealSecrets(pool, { rewrap: true, batch: 1 });
    await Promise.all(all.map(({ name }) => publish(name, {}).then((id) => sent.push(id))));
    rewrapping = false;
    await Promise.all(busy);
    expect(done.rewrapped).toBeGreaterThan(5);
    expect(await dataKeysRepository.countByKek(pool)).toEqual([
      { kekId: both.primaryId, n: expect.any(Number) },
    ]);
    for (const event of sent) await settled(event);
    for (const { name, path } of all) {
      const live = (await call('GET', `${path}/secret`)).body.data;
      const last = hits.filter((hit) => hit.path === `/${name}`).at(-1)!;
      expect(live).toHaveLength(1);
      expect(last.headers['webhook-signature']).toMatch(/^v1,/);
    }
    const failed = await tables.rows(
      `SELECT id FROM deliveries WHERE event_id = ANY($1::uuid[]) AND status <> 'delivered'`,
      [sent.map((id) => fromPublicId('evt', id))],
    );
    expect(failed).toEqual([]);
    // Again changes nothing.
    expect(await sealSecrets(pool, { rewrap: true })).toEqual({ secrets: 0, headers: 0, rewrapped: 0 });
    await pool.close();
  });
});
