import { toPublicId } from '../../../libs/domain/src/index.js';
import { createClient } from '../../support/client.js';
import { historyFor, type History } from '../history/history.js';
import { FAILURE_CLASSES_SEEDED } from '../history/seed-deliveries.js';
import type { Scenario } from '../scenario.js';
import { percentiles, round, type Percentiles } from '../statistics.js';

const CALLS = 200;
const MUST_MS = 50;
const DAY_MS = 86_400_000;

/** What support asks on a history, one call at a time as a person would: each list is its first page of 50. */
export const lists: Scenario = {
  name: 'lists',
  about:
    'support’s questions on the history, through the API: failed of a subscriber, of an endpoint, by class and time, a timeline',
  timeoutSeconds: () => 300,
  async run(rig, options) {
    const history = await historyFor(options, rig.log);
    const api = await rig.startProduct(history.directory);
    const client = createClient(api);
    const calls = rig.smoke ? 10 : CALLS;
    const questions = await questionsOf(history, (sql) => rig.query(sql));
    const details: Record<string, number | null> = {};
    const musts = [];
    const all: number[] = [];
    for (const [name, paths] of Object.entries(questions)) {
      if (paths.length === 0) throw new Error(`The history has nothing to ask for: ${name}`);
      await client.get(paths[0]);
      const samplesMs: number[] = [];
      for (let i = 0; i < calls; i++) {
        const startedAt = performance.now();
        await client.get(paths[i % paths.length]);
        samplesMs.push(performance.now() - startedAt);
      }
      all.push(...samplesMs);
      const { p50Ms, p99Ms, maxMs } = percentiles(samplesMs) as Percentiles;
      Object.assign(details, { [`${name}P50Ms`]: p50Ms, [`${name}P99Ms`]: p99Ms, [`${name}MaxMs`]: maxMs });
      musts.push({ what: `${name} p99, ms`, measured: p99Ms, atMost: MUST_MS });
    }
    const over = percentiles(all)!;
    const worst = Math.max(...musts.map(({ measured }) => measured));
    return {
      value: worst,
      unit: 'ms (the worst p99)',
      ratio: round(1000 / over.p50Ms / rig.limit, 6),
      latency: over,
      musts,
      details: { ...details, historyDeliveries: history.deliveries, historySubscribers: history.subscribers },
    };
  },
};

async function questionsOf(
  { fromDay }: History,
  query: (sql: string) => Promise<Record<string, string>[]>,
): Promise<Record<string, string[]>> {
  // The largest, some in between, and some that have nothing failed, which is what makes an index scan long.
  const endpoints = await query(
    `SELECT id, subscriber_id FROM (
       (SELECT id, subscriber_id FROM endpoints ORDER BY id LIMIT 20)
       UNION (SELECT id, subscriber_id FROM endpoints WHERE id >= (SELECT id FROM endpoints ORDER BY id OFFSET (SELECT count(*) / 2 FROM endpoints) LIMIT 1) ORDER BY id LIMIT 40)
     ) e ORDER BY md5(id::text)`,
  );
  const failed = await query(
    `SELECT id, event_id FROM deliveries WHERE status = 'failed' AND id < posthorn_uuid_floor(now() - interval '2 days') ORDER BY id DESC LIMIT 50`,
  );
  const subscribers = endpoints.map((each) => toPublicId('sub', each['subscriber_id']));
  const list = (filter: string) => `/v1/deliveries?limit=50&${filter}`;
  const window = (i: number, days: number) => {
    const since = new Date(Date.parse(fromDay) + (1 + (i % 20)) * DAY_MS);
    return `since=${since.toISOString()}&until=${new Date(since.getTime() + days * DAY_MS).toISOString()}`;
  };
  return {
    failedOfSubscriber: subscribers.map((id) => list(`status=failed&subscriber=${id}`)),
    failedOfEndpoint: endpoints.map(({ id }) => list(`status=failed&endpoint=${toPublicId('ep', id)}`)),
    deliveriesOfSubscriber: subscribers.map((id) => list(`subscriber=${id}`)),
    byClassAndTime: FAILURE_CLASSES_SEEDED.map((failure, i) =>
      list(`status=failed&failure=${failure}&${window(i, 2)}`),
    ),
    ofSubscriberByClassAndTime: subscribers.map((id, i) =>
      list(
        `status=failed&subscriber=${id}&failure=${FAILURE_CLASSES_SEEDED[i % FAILURE_CLASSES_SEEDED.length]}&${window(i, 7)}`,
      ),
    ),
    timeline: failed.map(({ id }) => `/v1/deliveries/${toPublicId('dlv', id)}`),
    event: failed.map((each) => `/v1/events/${toPublicId('evt', each['event_id'])}`),
  };
}
