import type { ApiTarget } from '../load/target.js';
import type { Rig } from '../rig.js';
import type { Must, Scenario } from '../scenario.js';
import { countDeliveries, percentiles, type Percentiles } from '../statistics.js';
import { journeys } from './journeys.js';

const WARMUP_SECONDS = 2;
const SECONDS = 20;
const FASTER = 4;
const LAST_ARRIVAL_TIMEOUT_MS = 10_000;

interface Paced {
  onTheWay: Percentiles;
  answer: Percentiles | null;
  accepted: string[];
}

/**
 * A machine that is not busy: how long an event is on its way, from the publisher's call to the first byte at the
 * receiver, through accepting, commit, notice, fetch, signing and connection. Evenly spaced, whatever the answers do.
 */
export const latency: Scenario = {
  name: 'latency',
  about:
    '50 events/s, then 200/s, for 20 s each: from the publisher’s call to the receiver’s first byte, p50/p95/p99',
  timeoutSeconds: (seconds) => 2 * (seconds ?? SECONDS) + 100,
  async run(rig, { rate, seconds: asked }) {
    const seconds = asked ?? SECONDS;
    const api = await rig.startProduct();
    await rig.startWorkers();
    const slow = await paced(rig, api, rate, seconds);
    const fast = await paced(rig, api, rate * FASTER, seconds);
    const accepted = [...slow.accepted, ...fast.accepted];
    return {
      value: slow.onTheWay.p50Ms,
      unit: 'ms (p50)',
      // Speed is not the question here; this says how idle the machine was.
      ratio: rate / rig.limit,
      latency: slow.onTheWay,
      counts: countDeliveries(accepted, await rig.receiver.arrivals()),
      musts: [...musts(slow, rate), ...musts(fast, rate * FASTER)],
      details: {
        answerP50Ms: slow.answer?.p50Ms ?? null,
        answerP99Ms: slow.answer?.p99Ms ?? null,
        fasterPerSecond: rate * FASTER,
        fasterP50Ms: fast.onTheWay.p50Ms,
        fasterP95Ms: fast.onTheWay.p95Ms,
        fasterP99Ms: fast.onTheWay.p99Ms,
        fasterAnswerP50Ms: fast.answer?.p50Ms ?? null,
        fasterAnswerP99Ms: fast.answer?.p99Ms ?? null,
      },
      cost: await rig.endAndCost(accepted.length),
    };
  },
};

async function paced(rig: Rig, api: ApiTarget, perSecond: number, seconds: number): Promise<Paced> {
  const before = (await rig.receiver.counts()).distinct;
  const input = { api, perSecond, warmupSeconds: rig.smoke ? 0 : WARMUP_SECONDS, seconds };
  const load = rig.load.call('publishPaced', input, (seconds + 30) * 1000);
  const { accepted, calledMs, latency: answer, refusals } = await rig.whileRunning(load);
  rig.refuseRefusals(refusals);
  const all = rig.receiver.waitForDistinct(before + accepted.length, LAST_ARRIVAL_TIMEOUT_MS);
  await rig.whileRunning(all.catch(() => null));
  const onTheWay = percentiles(journeys(calledMs, await rig.receiver.arrivals()));
  if (onTheWay === null) throw new Error('Nothing was delivered');
  return { onTheWay, answer, accepted };
}

function musts({ onTheWay }: Paced, perSecond: number): Must[] {
  return [
    { what: `p50 at ${perSecond}/s, ms`, measured: onTheWay.p50Ms, atMost: 6 },
    { what: `p99 at ${perSecond}/s, ms`, measured: onTheWay.p99Ms, atMost: 14 },
  ];
}
