import { setTimeout as delay } from 'node:timers/promises';
import type { Scenario } from '../scenario.js';
import { round, slopePerMinute } from '../statistics.js';

const ENDPOINTS = 100;
// Of 2,000 deliveries a call. What a burst of the largest calls takes is the question of another day: four at once of 10,000
// deliveries each brought the api to 465 MB.
const BATCH_EVENTS = 20;
const CALLS_AT_ONCE = 2;
const SAMPLE_MS = 500;
const WATCHED_SECONDS = 15;
const MUST_BYTES = 250e6;

/**
 * A backlog that nobody takes: a hundred endpoints that hang, and a million deliveries for them. The worker runs all the
 * while: it tries some, opens the circuits, and what comes after is held.
 *
 *   worker starts ── 10,000 events × 100 endpoints are published ── 15 s more ──
 *   RSS of both   ════════════════════════════════════════════════════════════
 */
export const memory: Scenario = {
  name: 'memory',
  about: '1,000,000 pending deliveries of endpoints that hang: the most memory of api and worker',
  timeoutSeconds: (seconds) => (seconds ?? WATCHED_SECONDS) + 120,
  async run(rig, { pending: wanted, seconds }) {
    const api = await rig.startProduct();
    await rig.startWorkers();
    const hanging = await rig.startSecondReceiver();
    const subscriber = await rig.subscribeOne(api.url, ENDPOINTS, (n) => hanging.url(`/hang/${n}`));
    const samples: { atMs: number; apiBytes: number; workerBytes: number }[] = [];
    const sample = async () => {
      const { apiBytes, workerBytes } = await rig.memory();
      samples.push({ atMs: performance.now(), apiBytes, workerBytes });
    };
    await sample();

    const events = Math.ceil(wanted / ENDPOINTS);
    const target = { ...api, subscribers: [subscriber] };
    let [published, failure] = [false, null as unknown];
    const load = rig
      .whileRunning(
        rig.load.call(
          'publishBatches',
          { api: target, events, batchEvents: BATCH_EVENTS, callsAtOnce: CALLS_AT_ONCE },
          400_000,
        ),
      )
      .catch((error: unknown) => ((failure = error), null))
      .finally(() => (published = true));
    while (!published) {
      await Promise.race([load, delay(SAMPLE_MS)]);
      await sample();
    }
    const result = await load;
    if (result === null) throw failure;
    rig.refuseRefusals(result.refusals);
    const publishedAt = samples.length;
    const until = performance.now() + (seconds ?? WATCHED_SECONDS) * 1000;
    while (performance.now() < until) {
      await rig.whileRunning(delay(SAMPLE_MS));
      await sample();
    }

    const { pending, total } = await rig.storedDeliveries();
    if (total !== events * ENDPOINTS) throw new Error(`${events * ENDPOINTS} were accepted, ${total} stored`);
    const after = samples.slice(publishedAt);
    const most = (name: 'apiBytes' | 'workerBytes') => Math.max(...samples.map((each) => each[name])) / 1e6;
    const growth = (name: 'apiBytes' | 'workerBytes') =>
      round(
        slopePerMinute(
          after.map(({ atMs }) => atMs),
          after.map((each) => each[name]),
        ) / 1e6,
        1,
      );
    const [apiMb, workerMb] = [round(most('apiBytes'), 1), round(most('workerBytes'), 1)];
    return {
      value: Math.max(apiMb, workerMb),
      unit: 'MB at most',
      ratio: (Math.max(apiMb, workerMb) * 1e6) / MUST_BYTES,
      musts: [
        { what: 'api RSS, MB', measured: apiMb, atMost: MUST_BYTES / 1e6 },
        { what: 'worker RSS, MB', measured: workerMb, atMost: MUST_BYTES / 1e6 },
        { what: 'pending', measured: pending, atLeast: Math.floor(wanted * 0.99) },
      ],
      details: {
        pending,
        stored: total,
        apiRssStartMb: round(samples[0].apiBytes / 1e6, 1),
        apiRssEndMb: round(samples.at(-1)!.apiBytes / 1e6, 1),
        apiRssMaxMb: apiMb,
        apiRssMbPerMinuteAfter: growth('apiBytes'),
        workerRssStartMb: round(samples[0].workerBytes / 1e6, 1),
        workerRssEndMb: round(samples.at(-1)!.workerBytes / 1e6, 1),
        workerRssMaxMb: workerMb,
        workerRssMbPerMinuteAfter: growth('workerBytes'),
        deliveriesAcceptedPerSecond: round((total / result.tookMs) * 1000, 1),
        requestsThatHung: (await hanging.counts()).requests,
      },
    };
  },
};
