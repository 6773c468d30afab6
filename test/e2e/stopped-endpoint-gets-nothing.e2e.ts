/**
 * Promise: a disabled or deleted endpoint gets no request later than 1 s after the answer; what was pending for it is
 * cancelled and says why; after enabling, a resend sends it.
 *
 *   0 s    100 events a second flow to an endpoint that answers after 300 ms, slower than they come: a backlog grows
 *   1 s    it is disabled (deleted) by the API; publishing goes on for 2 s
 *   after  no request later than 1 s; all that is not delivered is cancelled; enabled, one of them is resent
 */
import { setInterval as every } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { expectDoctorClean, openTables, tell, type Tables } from './e2e-fixture.js';

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([
    startPosthorn({
      env: { POSTHORN_AUTO_CREATE_EVENT_TYPES: 'true', WORKER_CONCURRENCY_PER_ENDPOINT: '8' },
    }),
    startReceiver(),
  ]);
  tables = openTables(posthorn.databaseUrl);
});
afterAll(async () => {
  await tables.close();
  await posthorn.stop();
  await receiver.stop();
});

// Side by side: each has a customer, an endpoint and a path of its own.
describe.concurrent('no request follows', () => {
  it('disabling; the backlog is cancelled, and can be resent after enabling', async () => {
    const path = await flowAndStop('disabled', (endpoint) =>
      posthorn.client.post(`${endpoint}/disable`, { reason: 'it is on fire' }),
    );
    expect(await reasonsOf('disabled')).toEqual(new Set([null, 'endpoint_disabled']));

    await posthorn.client.post(`${path}/enable`);
    const [delivery] = await posthorn.client.all(
      '/v1/deliveries?status=cancelled&subscriber=disabled&limit=250',
    );
    const filter = { path: pathOf('disabled') };
    const before = (await receiver.journal(filter)).length;
    await posthorn.client.resend(delivery.id);
    await receiver.waitFor(before + 1, { filter });
    await tables.until(
      `SELECT count(*) FILTER (WHERE trigger = 'resend' AND status = 'delivered') = 1 AS ok FROM deliveries`,
    );
    await expectDoctorClean(posthorn.databaseUrl);
  }, 30_000);

  it('deleting the endpoint', async () => {
    await flowAndStop('deleted', async (endpoint) => {
      expect((await posthorn.client.request('DELETE', endpoint)).status).toBe(204);
    });
    expect(await reasonsOf('deleted')).toEqual(new Set([null, 'endpoint_deleted']));
    await expectDoctorClean(posthorn.databaseUrl);
  }, 30_000);

  it('deleting the subscriber', async () => {
    await flowAndStop('gone', async () => {
      expect((await posthorn.client.request('DELETE', '/v1/subscribers/gone')).status).toBe(204);
    });
    expect(await reasonsOf('gone')).toEqual(new Set([null, 'subscriber_deleted']));
    await expectDoctorClean(posthorn.databaseUrl);
  }, 30_000);
});

const pathOf = (name: string): string => `/slow/300/${name}`;

/** Answers the endpoint's path. */
async function flowAndStop(name: string, stop: (endpoint: string) => Promise<unknown>): Promise<string> {
  const { client } = posthorn;
  await client.createSubscriber({ name, externalId: name });
  const { id } = await client.createEndpoint(name, { url: receiver.url(pathOf(name)) });
  const endpoint = `/v1/subscribers/${name}/endpoints/${id}`;
  const answers: Promise<unknown>[] = [];
  let stopped: Promise<number> | undefined;
  for await (const _ of every(10)) {
    answers.push(
      client.request('POST', '/v1/events', { subscriber: name, type: 'thing.happened', data: {} }),
    );
    if (answers.length === 100) stopped = stop(endpoint).then(() => Date.now());
    if (answers.length === 300) break;
  }
  await Promise.all(answers);
  const stoppedAt = await stopped!;
  await tables.until(
    `SELECT count(*) = 0 AS ok FROM deliveries d JOIN subscribers s ON s.id = d.subscriber_id
      WHERE s.external_id = $1 AND d.status = 'pending'`,
    [name],
  );
  const journal = await receiver.journal({ path: pathOf(name) });
  const lastMs = Math.max(...journal.map((entry) => entry.epochMs)) - stoppedAt;
  tell(`requests to an endpoint after ${name}`, { lastMs, requests: journal.length });
  expect(journal.length).toBeGreaterThan(8);
  expect(lastMs).toBeLessThan(1_000);
  return endpoint;
}

/** Why deliveries were cancelled; null: some were delivered. Anything that ended otherwise is a finding. */
async function reasonsOf(externalId: string): Promise<Set<string | null>> {
  const rows = await tables.rows<{ status: string; reason: string | null }>(
    `SELECT DISTINCT d.status, d.cancel_reason AS reason FROM deliveries d JOIN subscribers s ON s.id = d.subscriber_id
      WHERE s.external_id = $1`,
    [externalId],
  );
  expect(rows.map((row) => row.status).sort()).toEqual(['cancelled', 'delivered']);
  return new Set(rows.map((row) => row.reason));
}
