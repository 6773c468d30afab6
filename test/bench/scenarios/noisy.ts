import type { Receiver } from '../../support/receiver/receiver.js';
import type { ApiTarget } from '../load/target.js';
import type { BenchOptions } from '../options.js';
import type { Rig } from '../rig.js';
import type { Scenario } from '../scenario.js';
import { countDeliveries, percentiles, round, type Percentiles } from '../statistics.js';
import { drainOnce } from './drain-once.js';
import { journeys } from './journeys.js';

// Of one endpoint that takes connections and never answers, and of twenty others like it.
const IN_FRONT = 100_000;
const HANGING_ENDPOINTS = 20;
const IN_FRONT_OF_EACH = 100;
// Twice the deadline of the requests that hang. They end together, and for as long as the worker ends 64 and starts 64 others it is slower: in 10 s there
// was one such moment or none, for 1 % of all or for none of them.
const PACED_SECONDS = 30;
const WARMUP_SECONDS = 1;
const DRAIN_TIMEOUT_MS = 60_000;

interface Measured {
  perSecond: number;
  latency: Percentiles;
  accepted: string[];
}

/**
 *   undisturbed:  N wait ── worker ══ drained ══ 50/s paced ── worker ends
 *   disturbed:    100,000 of a hanging endpoint and 2,000 of twenty others, then N ── worker ══ drained ══ 50/s paced
 *
 * What endpoints that hang cost all others, on one database in one run: speed and latency, as shares of undisturbed.
 */
export const noisy: Scenario = {
  name: 'noisy',
  about:
    'drain and latency behind 100,000 deliveries of an endpoint that hangs and 20 more like it, ÷ undisturbed',
  timeoutSeconds: (seconds) => 2 * (seconds ?? PACED_SECONDS) + 180,
  async run(rig, options) {
    const api = await rig.startProduct();
    const quiet = await measure(rig, api, options);
    await rig.stopWorkers();

    const hanging = await rig.startSecondReceiver();
    const inFront = Math.min(IN_FRONT, options.deliveries * 5);
    await layIn(rig, api, hanging, 1, inFront);
    await layIn(
      rig,
      api,
      hanging,
      HANGING_ENDPOINTS,
      Math.min(HANGING_ENDPOINTS * IN_FRONT_OF_EACH, inFront),
    );
    const disturbed = await measure(rig, api, options);
    const { requests: hung } = await hanging.counts();

    const drainRatio = disturbed.perSecond / quiet.perSecond;
    return {
      value: drainRatio,
      unit: 'of the undisturbed drain',
      ratio: disturbed.perSecond / rig.limit,
      latency: disturbed.latency,
      musts: [
        { what: 'of the undisturbed drain', measured: round(drainRatio, 3), atLeast: 0.8 },
        {
          what: 'p99 ÷ undisturbed p99',
          measured: round(disturbed.latency.p99Ms / quiet.latency.p99Ms, 2),
          atMost: 2,
        },
      ],
      counts: countDeliveries([...quiet.accepted, ...disturbed.accepted], await rig.receiver.arrivals()),
      details: {
        undisturbedPerSecond: round(quiet.perSecond, 1),
        disturbedPerSecond: round(disturbed.perSecond, 1),
        drainRatio: round(drainRatio, 3),
        undisturbedP50Ms: quiet.latency.p50Ms,
        undisturbedP99Ms: quiet.latency.p99Ms,
        disturbedP99Ms: disturbed.latency.p99Ms,
        p99Ratio: round(disturbed.latency.p99Ms / quiet.latency.p99Ms, 2),
        deliveriesInFront: inFront,
        requestsThatHung: hung,
      },
    };
  },
};

/** Deliveries of endpoints that hang, published before anything else is. */
async function layIn(
  rig: Rig,
  api: ApiTarget,
  hanging: Receiver,
  endpoints: number,
  events: number,
): Promise<void> {
  const subscribers = await rig.subscribe(api.url, endpoints, (n) => hanging.url(`/hang/${endpoints}-${n}`));
  const { refusals } = await rig.load.call(
    'publishBatches',
    { api: { ...api, subscribers }, events },
    120_000,
  );
  rig.refuseRefusals(refusals);
}

/** Drains so many with a worker that is just starting, then publishes slowly while it works. */
async function measure(
  rig: Rig,
  api: ApiTarget,
  { deliveries, rate, seconds }: BenchOptions,
): Promise<Measured> {
  const before = (await rig.receiver.counts()).distinct;
  const drained = await drainOnce(rig, api, deliveries);

  const paced = {
    api,
    perSecond: rate,
    warmupSeconds: rig.smoke ? 0 : WARMUP_SECONDS,
    seconds: seconds ?? PACED_SECONDS,
  };
  const load = rig.load.call('publishPaced', paced, (paced.seconds + 30) * 1000);
  const { accepted, calledMs, refusals } = await rig.whileRunning(load);
  rig.refuseRefusals(refusals);
  await rig.whileRunning(
    rig.receiver.waitForDistinct(before + deliveries + accepted.length, DRAIN_TIMEOUT_MS),
  );
  const latency = percentiles(journeys(calledMs, await rig.receiver.arrivals()));
  if (latency === null) throw new Error('Nothing was delivered');
  return {
    perSecond: drained.perSecond,
    latency,
    accepted: [...drained.accepted, ...accepted],
  };
}
