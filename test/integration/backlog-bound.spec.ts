/**
 * Promise: a customer whose endpoints are dead fills his own share of the disk and no more, and all together fill no more than
 * there is; who is refused hears so early, and is taken again when deliveries have ended.
 * Real: the api over HTTP, PostgreSQL; where something is delivered, the pump and a receiver.
 */
import { STAFF } from '@app/contracts';
import { newId, systemRandom, toPublicId } from '@app/domain';
import { WatchBacklog } from '@app/ingest';
import { Metrics } from '@app/observability';
import { lanesRepository } from '@app/persistence';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { anEvent, openDatabase, registerSubscriber, type Fixture } from '../support/fixtures.js';
import { startPipeline } from '../support/pipeline.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { stillTime } from '../support/still-time.js';
import { announceBatch, startApi, type ApiFixture, type Reply } from './api-fixture.js';

const BOUND = 3;
const DEAD = 'http://127.0.0.1:8009/';

let receiver: Receiver;
beforeAll(async () => void (receiver = await startReceiver()));
afterAll(() => receiver?.stop());
afterEach(() => vi.restoreAllMocks());

let fixture: ApiFixture;
const event = ({ externalId }: Fixture, more: object = {}) => ({
  subscriber: externalId,
  type: 'thing.happened',
  data: { n: 1 },
  ...more,
});
const publish = (to: Fixture, more: object = {}, headers: Record<string, string> = {}): Promise<Reply> =>
  fixture.call('POST', '/v1/events', event(to, more), { headers });
const test = ({ externalId, endpointIds }: Fixture): Promise<Reply> =>
  fixture.call('POST', `/v1/subscribers/${externalId}/endpoints/${toPublicId('ep', endpointIds[0])}/test`);
const customer = (...urls: string[]): Promise<Fixture> => registerSubscriber(fixture.api.database, urls);
/** A subscriber that has as much pending as it may. */
async function fullCustomer(url = DEAD): Promise<Fixture> {
  const full = await customer(url);
  for (let n = 0; n < BOUND; n++) expect((await publish(full)).status).toBe(202);
  return full;
}
const eventsOf = async ({ subscriberId }: Fixture): Promise<number> =>
  (await fixture.api.database.query('SELECT 1 FROM events WHERE subscriber_id = $1', [subscriberId])).length;
/** Has what is pending delivered while `work` waits for it. */
async function whileDelivering(work: () => Promise<void>): Promise<void> {
  const database = await openDatabase(fixture.databaseUrl);
  const road = await startPipeline(database, fixture.databaseUrl);
  try {
    await road.startPump();
    await work();
  } finally {
    await road.stop();
    await database.close();
  }
}
const metric = async (name: string): Promise<number> => {
  const { text } = await fixture.call('GET', '/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length));
};

describe('a subscriber that has as much pending as it may', () => {
  beforeAll(
    async () => void (fixture = await startApi({ POSTHORN_BACKLOG_PER_SUBSCRIBER_MAX: String(BOUND) })),
  );
  afterAll(() => fixture?.stop());

  it('is told so by 429, with the bound and when to come back; nothing is stored, and others publish', async () => {
    const [full, other] = [await fullCustomer(), await customer(DEAD)];
    const counter = 'posthorn_events_refused_total{code="backlog_full"}';
    const refused = await publish(full);
    expect(refused).toMatchObject({ status: 429, body: { code: 'backlog_full', limit: BOUND } });
    expect(refused.headers.get('retry-after')).toBe('30');
    expect(await eventsOf(full)).toBe(BOUND);
    expect((await publish(other)).body).toMatchObject({ deliveries: 1 });
    expect(await metric(counter)).toBe(1);
  });

  it.each(['queued', 'held', 'waiting'])('counts what is %s, over all its endpoints', async (place) => {
    const full = await customer(DEAD, DEAD);
    const set = (n: number) =>
      fixture.api.database.query(`UPDATE lanes SET ${place} = $2 WHERE endpoint_id = $1`, [
        full.endpointIds[1],
        n,
      ]);
    await set(BOUND - 1);
    // Takes the bound, and what is beyond it with the same event.
    expect((await publish(full)).body).toMatchObject({ deliveries: 2 });
    await fixture.api.database.query('UPDATE lanes SET queued = 0, held = 0 WHERE subscriber_id = $1', [
      full.subscriberId,
    ]);
    await set(BOUND);
    expect((await publish(full)).status).toBe(429);
    await set(0);
  });

  it('is refused those events of a batch that have no room, by themselves; what the batch makes counts', async () => {
    const [filling, other] = [await customer(DEAD), await customer(DEAD)];
    const batch = (...events: object[]) => fixture.call('POST', '/v1/events/batch', { events });
    const five = Array.from({ length: BOUND + 2 }, () => event(filling));
    const { status, body } = await batch(...five, event(other));
    expect(status).toBe(202);
    const accepted = { id: expect.any(String) as string, deliveries: 1 };
    const error = {
      code: 'backlog_full',
      detail: expect.any(String) as string,
      limit: BOUND,
      retryAfterSeconds: 30,
    };
    expect(body.results).toEqual([accepted, accepted, accepted, { error }, { error }, accepted]);
    expect(await eventsOf(filling)).toBe(BOUND);
    expect((await batch(event(filling), event(other))).body.results).toEqual([{ error }, accepted]);
  });

  it('publishes what nobody wants, and what only disabled endpoints want', async () => {
    const [unwanted, disabled] = [await fullCustomer(), await fullCustomer()];
    const change = (what: string, { subscriberId }: Fixture) =>
      fixture.api.database.query(`UPDATE endpoints SET ${what} WHERE subscriber_id = $1`, [subscriberId]);
    await change(`event_types = '{other.*}'`, unwanted);
    await change('disabled_at = now()', disabled);
    expect((await publish(unwanted)).body).toMatchObject({ deliveries: 0, note: 'no_matching_endpoint' });
    expect((await publish(disabled)).body).toMatchObject({ note: 'only_disabled_endpoints' });
  });

  it('may test its endpoints, and is told of its failures', async () => {
    const full = await fullCustomer();
    expect((await test(full)).status).toBe(202);
    const database = await openDatabase(fixture.databaseUrl);
    const road = await startPipeline(database, fixture.databaseUrl, { backlogPerSubscriberMax: BOUND });
    const accept = (notice?: { endpointId: null }) =>
      database.hotTransaction((tx) => {
        const events = [anEvent(full.subscriberId, { notice })];
        return road.accept.acceptIn(tx, { scope: STAFF, events, idempotency: null });
      });
    expect(await accept()).toMatchObject([{ code: 'backlog_full' }]);
    expect(await accept({ endpointId: null })).toMatchObject([{ deliveries: 1 }]);
    await road.stop();
    await database.close();
  });

  it('publishes again when deliveries have ended, with the Idempotency-Key that was refused', async () => {
    const full = await fullCustomer(receiver.url('/ok/after'));
    const key = { 'idempotency-key': 'refused-once' };
    const stored = () => fixture.api.database.query('SELECT 1 FROM idempotency_keys');
    expect((await publish(full, {}, key)).status).toBe(429);
    expect(await stored()).toEqual([]);
    await whileDelivering(async () => {
      await expect.poll(async () => (await publish(full, {}, key)).status, { timeout: 15_000 }).toBe(202);
    });
    const again = await publish(full, {}, key);
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, 'true']);
    expect(await eventsOf(full)).toBe(BOUND + 1);
  });

  it('is answered about an id that it has published, and not about one that was refused', async () => {
    const filling = await customer(DEAD);
    const ownId = () => toPublicId('evt', newId(Date.now(), systemRandom));
    const id = ownId();
    const first = await publish(filling, { id });
    for (let n = 1; n < BOUND; n++) await publish(filling);
    expect((await publish(filling, { id })).body).toEqual(first.body);

    const refused = event(filling, { id: ownId() });
    const { body } = await fixture.call('POST', '/v1/events/batch', { events: [refused, refused] });
    const codes = body.results.map(({ error }: { error?: { code: string } }) => error?.code);
    expect(codes).toEqual(['backlog_full', 'backlog_full']);
  });
});

describe('all together', () => {
  const time = stillTime();
  let full: Fixture;
  beforeAll(async () => {
    fixture = await startApi({ POSTHORN_BACKLOG_MAX: String(BOUND) }, { wait: time.wait });
    full = await customer(receiver.url('/ok/all'));
  });
  afterAll(() => fixture?.stop());

  /** Has the loop ask once more. */
  const askAgain = async (): Promise<void> => {
    await vi.waitUntil(() => time.waiting.length > 0);
    time.waiting.shift()!.go();
    await vi.waitUntil(() => time.waiting.length > 0);
  };

  it('are refused at the door, before a body is read, from when it is known until there is room', async () => {
    await vi.waitUntil(() => time.waiting.length > 0);
    expect(time.waiting).toMatchObject([{ ms: 5000 }]);
    // Nobody has looked since.
    for (let n = 0; n <= BOUND; n++) expect((await publish(full)).status).toBe(202);
    await askAgain();
    expect(await metric('posthorn_deliveries_pending')).toBe(BOUND + 1);
    const refused = await publish(full);
    expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(refused.headers.get('retry-after')).toBe('10');
    const { socket, answer } = announceBatch(fixture);
    expect(await answer).toContain('HTTP/1.1 503');
    socket.destroy();
    // Whoever mends something goes on.
    expect((await test(full)).status).toBe(202);
    expect((await fixture.call('GET', '/v1/deliveries?status=pending')).status).toBe(200);

    await whileDelivering(async () => void (await receiver.waitFor(BOUND + 2)));
    await askAgain();
    expect((await publish(full)).status).toBe(202);
  });

  it('publish when the question fails', async () => {
    vi.spyOn(lanesRepository, 'pending').mockRejectedValue(new Error('no answer'));
    await askAgain();
    expect(fixture.lines.filter(({ message }) => message === 'maintenance.failed')).toMatchObject([
      { loop: 'backlog', level: 'warn' },
    ]);
    expect((await publish(full)).status).toBe(202);
  });

  it('are not refused for what was read long ago: the question is given up after a second, its last answer after a minute', async () => {
    let nowMs = 0;
    const api = await openDatabase(fixture.databaseUrl, 'api');
    const watch = new WatchBacklog(api, new Metrics(), 1, () => nowMs);
    expect(() => watch.refuseWhenFull()).not.toThrow();
    for (const place of ['queued', 'held', 'waiting']) {
      await fixture.api.database.query('UPDATE lanes SET queued = 0, held = 0, waiting = 0');
      await watch.runOnce();
      expect(() => watch.refuseWhenFull()).not.toThrow();
      await fixture.api.database.query(`UPDATE lanes SET ${place} = 1`);
      await watch.runOnce();
      expect(() => watch.refuseWhenFull()).toThrow(/unavailable/);
    }
    await fixture.api.database.transaction(async (tx) => {
      await tx.query('LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE');
      await expect(watch.runOnce()).rejects.toThrow(/statement timeout/);
    });
    nowMs = 59_000;
    expect(() => watch.refuseWhenFull()).toThrow(/unavailable/);
    nowMs = 61_000;
    expect(() => watch.refuseWhenFull()).not.toThrow();
    await api.close();
  });

  it('are asked about no more when the api has stopped', async () => {
    const stopped = stillTime();
    const other = await startApi({}, { wait: stopped.wait });
    await vi.waitUntil(() => stopped.waiting.length > 0);
    const asked = vi.spyOn(WatchBacklog.prototype, 'runOnce');
    await other.stop();
    stopped.waiting[0].go();
    await new Promise(setImmediate);
    expect(asked).not.toHaveBeenCalled();
  });
});
