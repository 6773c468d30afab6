import { monotonicMs } from '../../support/monotonic.js';
import type { Scenario } from '../scenario.js';
import { countDeliveries, round } from '../statistics.js';

const WARMUP_SECONDS = 2;
const SECONDS = 15;
const EMPTY_TIMEOUT_MS = 25_000;

/**
 *   64 connections publish ── warm-up ──═══════ measured ═══════
 *   worker delivers        ─────────────═══════ measured ═══════── backlog empties ──
 *
 * Everything at once on one machine: api, worker, PostgreSQL, receiver and load share its cores.
 */
export const publish: Scenario = {
  name: 'publish',
  about:
    'single POST /v1/events on 64 connections while a worker delivers: delivered/s, p50/p99 of the answer',
  async run(rig, { connections, seconds: asked }) {
    const seconds = asked ?? SECONDS;
    const api = await rig.startProduct();
    await rig.startWorkers();

    const input = { api, connections, warmupSeconds: WARMUP_SECONDS, seconds };
    const load = rig.load.call('publishFlatOut', input, (seconds + 30) * 1000);
    const { accepted, acceptedInWindow, fromMs, untilMs, latency, refusals } = await rig.whileRunning(load);
    rig.refuseRefusals(refusals);
    const backlogAtEnd = accepted.length - (await rig.receiver.counts()).distinct;
    const empty = rig.receiver
      .waitForDistinct(accepted.length, EMPTY_TIMEOUT_MS)
      .then(() => monotonicMs() - untilMs);
    const emptyMs = await rig.whileRunning(empty.catch(() => null));

    const cost = await rig.endAndCost(accepted.length);
    const arrivals = await rig.receiver.arrivals();
    const first = new Map<string, number>();
    arrivals.ids.forEach((id, i) => first.has(id) || first.set(id, arrivals.monotonicMs[i]));
    const deliveredInWindow = [...first.values()].filter((atMs) => atMs >= fromMs && atMs < untilMs).length;
    const perSecond = deliveredInWindow / seconds;
    return {
      value: perSecond,
      unit: 'delivered/s',
      ratio: perSecond / rig.limit,
      latency,
      counts: countDeliveries(accepted, arrivals),
      cost,
      musts: [
        { what: 'delivered ratio', measured: round(perSecond / rig.limit, 4), atLeast: 0.06 },
        { what: 'p99 of the answer, ms', measured: latency?.p99Ms ?? Infinity, atMost: 60 },
        // Half a second of work; more means that it grew for the length of the run.
        {
          what: 'backlog at the end, seconds',
          measured: round(backlogAtEnd / Math.max(1, perSecond), 2),
          atMost: 0.5,
        },
      ],
      details: {
        acceptedPerSecond: round(acceptedInWindow / seconds, 1),
        deliveredPerSecond: round(perSecond, 1),
        backlogAtEnd,
        emptyMs: emptyMs === null ? null : round(emptyMs),
      },
    };
  },
};
