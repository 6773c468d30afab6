import type { ApiTarget } from '../load/target.js';
import type { Rig } from '../rig.js';

const ACCEPT_TIMEOUT_MS = 120_000;
const DRAIN_TIMEOUT_MS = 90_000;

export interface Drained {
  /** From the first to the last arrival. */
  readonly perSecond: number;
  readonly accepted: string[];
}

/** Lays in so many events of one endpoint each, then starts workers and waits until all have come in. The workers go on. */
export async function drainOnce(
  rig: Rig,
  api: ApiTarget,
  deliveries: number,
  workers?: number,
): Promise<Drained> {
  const input = { api, events: deliveries };
  const { accepted, refusals } = await rig.whileRunning(
    rig.load.call('publishBatches', input, ACCEPT_TIMEOUT_MS),
  );
  rig.refuseRefusals(refusals);
  const { distinct, requests } = await rig.receiver.counts();
  const drained = rig.receiver.waitForDistinct(distinct + deliveries, DRAIN_TIMEOUT_MS);
  await rig.whileRunning(Promise.all([drained, rig.startWorkers(workers)]));
  const times = (await rig.receiver.arrivals()).monotonicMs.subarray(requests);
  return { perSecond: (times.length / Math.max(1, times.at(-1)! - times[0])) * 1000, accepted };
}
