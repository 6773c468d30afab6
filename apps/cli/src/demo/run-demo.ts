import { setTimeout as delay } from 'node:timers/promises';
import { systemClock, systemRandom } from '@app/domain';
import { ApiKeys } from '@app/endpoints';
import { withDatabase } from '../find-database.js';
import { DemoApi } from './demo-api.js';
import { DEMO_EVENTS } from './demo-events.js';
import { startDemoReceiver, type Arrival } from './demo-receiver.js';

// Of its own and soon over: the admin key is known at the first start only.
const KEY_LIFE_MS = 10 * 60_000;
// The third attempt is due 52 s after the first at the latest.
const DELIVERED_MS = 120_000;

interface Deliveries {
  data: { eventType: string; status: string; attempts: number }[];
}

/** Publishes a dozen events to a receiver in this process and shows what arrives. Leaves the receiver listening. */
export async function runDemo(
  apiUrl: string,
  databaseUrl: string,
  environment: string,
  endings: (() => Promise<void>)[],
): Promise<void> {
  const taken = new Set<string>();
  const seen = { requests: 0, verified: 0 };
  const receiver = await startDemoReceiver(
    (type) => DEMO_EVENTS.some((event) => event.failsTwice && event.type === type),
    (arrival) => {
      seen.requests++;
      if (arrival.verified) seen.verified++;
      if (arrival.answered === 200) taken.add(arrival.webhookId);
      console.log(asLine(arrival));
    },
  );
  // Before everything that was started earlier, so ended after it: what is on its way to the receiver still arrives.
  endings.unshift(() => receiver.close());

  const api = new DemoApi(apiUrl, await makeKey(databaseUrl, environment));
  const subscriber = `demo-${systemClock.now().toISOString().replace(/\D/g, '').slice(0, 14)}`;
  await api.post('/v1/subscribers', { name: 'Demo', externalId: subscriber });
  const endpoint = { url: receiver.url, eventTypes: ['*'], description: 'posthorn up --demo' };
  ({ secret: receiver.secret } = await api.post<{ secret: string }>(
    `/v1/subscribers/${subscriber}/endpoints`,
    endpoint,
  ));
  console.log(`\nDemo: subscriber ${subscriber} receives at ${receiver.url}`);

  for (const { type } of DEMO_EVENTS) await api.postOnce('/v1/event-types', { name: type });
  const failing = DEMO_EVENTS.find((event) => event.failsTwice)!.type;
  console.log(
    `Publishing ${DEMO_EVENTS.length} events. ${failing} is answered 503 twice: the retry schedule sends it again after 2.5 to 7.5 s, then after 15 to 45 s.\n`,
  );
  const published = await Promise.all(
    DEMO_EVENTS.map(({ type, data }) => api.post<{ id: string }>('/v1/events', { subscriber, type, data })),
  );

  const path = `/v1/deliveries?subscriber=${subscriber}`;
  const deliveries = await untilDelivered(() => api.get<Deliveries>(path), published, taken);
  const delivered = deliveries.filter(({ status }) => status === 'delivered');
  console.log(
    `\nDemo: ${published.length} events accepted, ${seen.requests} requests received, signature verified on ${seen.verified} of them; ` +
      `Posthorn has ${delivered.length} of ${deliveries.length} deliveries on record as delivered:`,
  );
  for (const { eventType, status, attempts } of deliveries)
    if (attempts !== 1) console.log(`  ${eventType} is ${status} after ${attempts} attempts`);
  console.log(`Publish more to ${subscriber}: it is shown here. Ctrl-C stops everything.`);
}

/** Waits for the receiver to have taken all of them and Posthorn to have noted it: what it answers is what is shown. */
async function untilDelivered(
  list: () => Promise<Deliveries>,
  published: { id: string }[],
  taken: Set<string>,
): Promise<Deliveries['data']> {
  const end = performance.now() + DELIVERED_MS;
  while (published.some(({ id }) => !taken.has(id)) && performance.now() < end) await delay(50);
  let deliveries = (await list()).data;
  while (deliveries.some(({ status }) => status === 'pending') && performance.now() < end) {
    await delay(100);
    deliveries = (await list()).data;
  }
  return deliveries;
}

function makeKey(databaseUrl: string, environment: string): Promise<string> {
  return withDatabase(databaseUrl, (database) =>
    database.transaction(async (tx) => {
      const expiresAt = new Date(systemClock.now().getTime() + KEY_LIFE_MS);
      const keys = new ApiKeys(database, systemClock, systemRandom, environment);
      return (await keys.create(tx, { name: 'demo', scopes: ['admin'], subscriberId: null, expiresAt })).key;
    }),
  );
}

function asLine({ webhookId, eventType, attempt, answered, verified }: Arrival): string {
  const now = systemClock.now();
  const time = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, '0')}`;
  const signature = verified ? 'signature verified ✓' : 'signature WRONG ✗';
  return `${time}  ${eventType.padEnd(20)}  ${webhookId}  attempt ${attempt}  answered ${answered}  ${signature}`;
}
