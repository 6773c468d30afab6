import { monotonicMs } from '../../support/monotonic.js';
import type { ApiTarget } from '../load/target.js';
import type { Rig } from '../rig.js';
import type { Percentiles } from '../statistics.js';

const WARMUP_SECONDS = 2;
const EMPTY_TIMEOUT_MS = 25_000;

export interface Published {
  readonly accepted: string[];
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  /** Of the answer. */
  readonly latency: Percentiles | null;
  readonly backlogAtEnd: number;
  /** Until the last delivery arrived; null when it did not in time. */
  readonly emptyMs: number | null;
}

/** Publishes for so long on so many connections while workers, which run already, deliver. */
export async function publishOnce(
  rig: Rig,
  api: ApiTarget,
  connections: number,
  seconds: number,
): Promise<Published> {
  const before = (await rig.receiver.counts()).distinct;
  const input = { api, connections, warmupSeconds: rig.smoke ? 0 : WARMUP_SECONDS, seconds };
  const load = rig.load.call('publishFlatOut', input, (seconds + 30) * 1000);
  const { accepted, acceptedInWindow, fromMs, untilMs, latency, refusals } = await rig.whileRunning(load);
  rig.refuseRefusals(refusals);
  const backlogAtEnd = before + accepted.length - (await rig.receiver.counts()).distinct;
  const empty = rig.receiver
    .waitForDistinct(before + accepted.length, EMPTY_TIMEOUT_MS)
    .then(() => monotonicMs() - untilMs);
  const emptyMs = await rig.whileRunning(empty.catch(() => null));

  const arrivals = await rig.receiver.arrivals();
  const first = new Map<string, number>();
  arrivals.ids.forEach((id, i) => first.has(id) || first.set(id, arrivals.monotonicMs[i]));
  const deliveredInWindow = [...first.values()].filter((atMs) => atMs >= fromMs && atMs < untilMs).length;
  return {
    accepted,
    acceptedPerSecond: acceptedInWindow / seconds,
    deliveredPerSecond: deliveredInWindow / seconds,
    latency,
    backlogAtEnd,
    emptyMs,
  };
}
