import { monotonicMs } from '../../support/monotonic.js';
import { perDelivery, type Usage } from '../cost.js';
import type { Scenario } from '../scenario.js';
import { countDeliveries, round } from '../statistics.js';

// At a fiftieth of the slowest limit seen, 40,000 take longer than this; a bench that waits for ever tells nothing.
const DRAIN_TIMEOUT_MS = 90_000;

/**
 *   api accepts N ──┐
 *                   worker starts ── first delivery ═══════ measured ═══════ last delivery
 *
 * The worker's own best: nothing is published while it works, and it always has something to do.
 */
export const drain: Scenario = {
  name: 'drain',
  about: '40,000 deliveries to 10 endpoints are waiting, then a worker starts: deliveries/s',
  async run(rig, { deliveries }) {
    const api = await rig.startProduct();
    const { accepted, refusals, tookMs } = await rig.load.call(
      'publishBatches',
      { api, events: deliveries },
      90_000,
    );
    rig.refuseRefusals(refusals);

    const accepting = await rig.usage();
    const startedMs = monotonicMs();
    const drained = rig.receiver
      .waitForDistinct(deliveries, DRAIN_TIMEOUT_MS)
      .catch(() => rig.receiver.counts());
    const [{ firstMonotonicMs, lastMonotonicMs, distinct }] = await rig.whileRunning(
      Promise.all([drained, rig.startWorkers()]),
    );
    if (firstMonotonicMs === null || lastMonotonicMs === null)
      throw new Error('The worker delivered nothing');

    const drainedUsage = await rig.usage();
    const cost = await rig.endAndCost(accepted.length);
    const arrivals = await rig.receiver.arrivals();
    const share = (name: keyof Usage) => perDelivery(accepting, drainedUsage, name, distinct);
    const perSecond = (distinct / Math.max(1, lastMonotonicMs - firstMonotonicMs)) * 1000;
    return {
      value: perSecond,
      unit: 'deliveries/s',
      ratio: perSecond / rig.limit,
      counts: countDeliveries(accepted, arrivals),
      cost,
      musts: [{ what: 'ratio', measured: round(perSecond / rig.limit, 4), atLeast: 0.24 }],
      details: {
        // The rest of the cost is that of accepting them.
        drainWorkerCpuMsPerDelivery: share('workerCpuMs'),
        drainPostgresCpuMsPerDelivery: share('postgresCpuMs'),
        drainWalBytesPerDelivery: share('walBytes'),
        drainStatementsPerDelivery: share('statements'),
        startupMs: round(firstMonotonicMs - startedMs),
        drainMs: round(lastMonotonicMs - firstMonotonicMs),
        // Far apart, something grows with the backlog: a plan, an index, a scan.
        perSecondFirstQuarter: round(speedOf(arrivals.monotonicMs, 0, 0.25), 1),
        perSecondLastQuarter: round(speedOf(arrivals.monotonicMs, 0.75, 1), 1),
        perSecondWithStartup: round((distinct / (lastMonotonicMs - startedMs)) * 1000, 1),
        acceptedPerSecondInBatches: round((accepted.length / tookMs) * 1000, 1),
      },
    };
  },
};

/** Arrivals per second between two shares of all arrivals. */
function speedOf(timesMs: Float64Array, fromShare: number, toShare: number): number {
  const from = Math.floor(fromShare * (timesMs.length - 1));
  const to = Math.floor(toShare * (timesMs.length - 1));
  return ((to - from) / Math.max(1, timesMs[to] - timesMs[from])) * 1000;
}
