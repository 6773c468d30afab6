import { monotonicMs } from '../../support/monotonic.js';
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

    const startedMs = monotonicMs();
    const drained = rig.receiver
      .waitForDistinct(deliveries, DRAIN_TIMEOUT_MS)
      .catch(() => rig.receiver.counts());
    const [{ firstMonotonicMs, lastMonotonicMs, distinct }] = await rig.whileRunning(
      Promise.all([drained, rig.startWorkers()]),
    );
    if (firstMonotonicMs === null || lastMonotonicMs === null)
      throw new Error('The worker delivered nothing');

    const perSecond = (distinct / Math.max(1, lastMonotonicMs - firstMonotonicMs)) * 1000;
    return {
      value: perSecond,
      unit: 'deliveries/s',
      ratio: perSecond / rig.limit,
      counts: countDeliveries(accepted, await rig.receiver.arrivals()),
      details: {
        startupMs: round(firstMonotonicMs - startedMs),
        drainMs: round(lastMonotonicMs - firstMonotonicMs),
        perSecondWithStartup: round((distinct / (lastMonotonicMs - startedMs)) * 1000, 1),
        acceptedPerSecondInBatches: round((accepted.length / tookMs) * 1000, 1),
      },
    };
  },
};
