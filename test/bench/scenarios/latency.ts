import type { Scenario } from '../scenario.js';
import { countDeliveries, percentiles } from '../statistics.js';
import { journeys } from './journeys.js';

const WARMUP_SECONDS = 2;
const SECONDS = 30;
const LAST_ARRIVAL_TIMEOUT_MS = 10_000;

/**
 * A machine that is not busy: how long an event is on its way, from the publisher's call to the first byte at the
 * receiver, through accepting, commit, notice, fetch, signing and connection. Evenly spaced, whatever the answers do.
 */
export const latency: Scenario = {
  name: 'latency',
  about: '50 events/s for 30 s: from the publisher’s call to the receiver’s first byte, p50/p95/p99',
  async run(rig, { rate, seconds: asked }) {
    const seconds = asked ?? SECONDS;
    const api = await rig.startProduct();
    await rig.startWorkers();

    const input = { api, perSecond: rate, warmupSeconds: WARMUP_SECONDS, seconds };
    const load = rig.load.call('publishPaced', input, (seconds + 30) * 1000);
    const { accepted, calledMs, latency: answer, refusals } = await rig.whileRunning(load);
    rig.refuseRefusals(refusals);
    const all = rig.receiver.waitForDistinct(accepted.length, LAST_ARRIVAL_TIMEOUT_MS);
    await rig.whileRunning(all.catch(() => null));

    const arrivals = await rig.receiver.arrivals();
    const onTheWay = percentiles(journeys(calledMs, arrivals));
    if (onTheWay === null) throw new Error('Nothing was delivered');
    return {
      value: onTheWay.p50Ms,
      unit: 'ms (p50)',
      // Speed is not the question here; this says how idle the machine was.
      ratio: rate / rig.limit,
      latency: onTheWay,
      counts: countDeliveries(accepted, arrivals),
      details: { answerP50Ms: answer?.p50Ms ?? null, answerP99Ms: answer?.p99Ms ?? null },
    };
  },
};
