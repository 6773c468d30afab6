import type { Scenario } from '../scenario.js';
import { round } from '../statistics.js';

const ENDPOINTS = 100;
// 10,000 deliveries a call, half of what one may make.
const BATCH_EVENTS = 100;
const DRAIN_TIMEOUT_MS = 90_000;

/** As drain, but each event goes to a hundred endpoints of its subscriber: 400 events are 40,000 deliveries. */
export const fanout: Scenario = {
  name: 'fanout',
  about: 'one subscriber with 100 endpoints, events in batches, then a worker starts: deliveries/s',
  async run(rig, { deliveries }) {
    const api = await rig.startProduct();
    const subscriber = await rig.subscribeOne(api.url, ENDPOINTS, (n) => rig.receiver.url(`/ok/fan-${n}`, n));
    const events = Math.ceil(deliveries / ENDPOINTS);
    const { accepted, refusals, tookMs } = await rig.whileRunning(
      rig.load.call(
        'publishBatches',
        { api: { ...api, subscribers: [subscriber] }, events, batchEvents: BATCH_EVENTS },
        90_000,
      ),
    );
    rig.refuseRefusals(refusals);
    const expected = events * ENDPOINTS;
    const drained = rig.receiver
      .waitForDistinct(expected, DRAIN_TIMEOUT_MS)
      .catch(() => rig.receiver.counts());
    const [{ distinct, firstMonotonicMs, lastMonotonicMs }] = await rig.whileRunning(
      Promise.all([drained, rig.startWorkers()]),
    );
    if (firstMonotonicMs === null || lastMonotonicMs === null)
      throw new Error('The worker delivered nothing');
    const perSecond = (distinct / Math.max(1, lastMonotonicMs - firstMonotonicMs)) * 1000;
    const cost = await rig.endAndCost(expected);
    const { requests, distinct: received } = await rig.receiver.counts();
    const known = new Set(accepted);
    const unknown = new Set((await rig.receiver.arrivals()).ids.filter((id) => !known.has(id))).size;
    return {
      value: perSecond,
      unit: 'deliveries/s',
      ratio: perSecond / rig.limit,
      // A delivery is a pair of event and endpoint here.
      counts: {
        accepted: expected,
        received,
        requests,
        missing: expected - received,
        duplicates: requests - received,
        unknown,
      },
      cost,
      musts: [{ what: 'ratio', measured: round(perSecond / rig.limit, 4), atLeast: 0.24 }],
      details: {
        events,
        deliveriesAcceptedPerSecond: round((expected / tookMs) * 1000, 1),
        drainMs: round(lastMonotonicMs - firstMonotonicMs),
      },
    };
  },
};
