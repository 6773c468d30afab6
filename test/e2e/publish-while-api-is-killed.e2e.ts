/**
 * Promise: an event answered 202 is there, and an Idempotency-Key never makes two, even when the first answer was lost.
 *
 *   always   16 publishers, each with a key per event; no answer, 409 or 503: they ask again with the same key
 *   5 times  kill -9 the api under that load, start another on the same port; more often, until an answer was lost after its commit
 *   then     every key has exactly one event, every id that was answered is stored, all are delivered
 */
import { fromPublicId } from '@app/domain';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  newAdminKey,
  startApi,
  startPosthorn,
  type Posthorn,
  type RunningProcess,
} from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { expectDoctorClean, openTables, tell, webhookIdOf, type Tables } from './e2e-fixture.js';

const PUBLISHERS = 16;
const KILLS = 5;
// When a kill meets the moment between commit and answer is chance; fault row 7 makes it happen.
const KILLS_MAX = 32;
const ANSWERS_PER_LIFE = 150;

const adminKey = newAdminKey();
let posthorn: Posthorn;
let api: RunningProcess;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([startPosthorn({ adminKey }), startReceiver()]);
  tables = openTables(posthorn.databaseUrl);
  ({ api } = posthorn);
});
afterAll(async () => {
  await tables.close();
  await api.stop();
  await posthorn.stop();
  await receiver.stop();
});

it('kill -9 of the api under publishing: one event for each key, none lost', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  await client.createEndpoint('c', { url: receiver.url('/ok') });

  const answered = new Map<string, string>();
  let unanswered = 0;
  let replayed = 0;
  let done = false;
  let onAnswer = (): void => undefined;
  async function publishOne(key: string): Promise<void> {
    const body = { subscriber: 'c', type: 'thing.happened', data: { key } };
    for (;;) {
      const answer = await client
        .request<{ id: string }>('POST', '/v1/events', body, { 'idempotency-key': key })
        .catch(() => null);
      if (answer?.status === 202) {
        answered.set(key, answer.body.id);
        if (answer.headers.get('idempotency-replayed') === 'true') replayed++;
        onAnswer();
        return;
      }
      if (answer !== null) expect([409, 503]).toContain(answer.status);
      unanswered++;
      // Nobody listens for a second: asking in a loop would only take the processor from who is to listen.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  const publishers = Array.from({ length: PUBLISHERS }, async (_, publisher) => {
    for (let n = 0; !done; n++) await publishOne(`order-${publisher}-${n}`);
  });
  const reach = (count: number) =>
    new Promise<void>((resolve) => (onAnswer = () => answered.size >= count && resolve()));

  let kills = 0;
  for (; kills < KILLS || (replayed === 0 && kills < KILLS_MAX); kills++) {
    await reach(answered.size + ANSWERS_PER_LIFE);
    await api.stop('SIGKILL');
    api = await startApi({
      databaseUrl: posthorn.databaseUrl,
      env: { POSTHORN_ADMIN_KEY: adminKey, PORT: String(posthorn.api.port) },
    });
  }
  await reach(answered.size + ANSWERS_PER_LIFE);
  done = true;
  await Promise.all(publishers);
  tell('publishing while the api is killed', {
    kills,
    answered: answered.size,
    askedAgain: unanswered,
    replayed,
  });

  const stored = await tables.rows<{ id: string; key: string }>(
    `SELECT id, data::json ->> 'key' AS key FROM events`,
  );
  expect(stored).toHaveLength(answered.size);
  expect(new Map(stored.map(({ id, key }) => [key, id]))).toEqual(
    new Map([...answered].map(([key, id]) => [key, fromPublicId('evt', id)])),
  );
  // A kill between commit and answer happened, or this run proved little.
  expect(replayed).toBeGreaterThan(0);
  const ids = new Set(answered.values());
  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${ids.size} AS ok FROM deliveries`,
  );
  const journal = await receiver.journal();
  expect(new Set(journal.map(webhookIdOf))).toEqual(ids);
  expect(journal).toHaveLength(ids.size);
  await expectDoctorClean(posthorn.databaseUrl);
}, 120_000);
