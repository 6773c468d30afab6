import type { Scenario } from '../scenario.js';
import { countDeliveries, round } from '../statistics.js';
import { publishOnce } from './publish-once.js';

const SECONDS = 15;

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
  timeoutSeconds: (seconds) => (seconds ?? SECONDS) + 120,
  async run(rig, { connections, seconds }) {
    const api = await rig.startProduct();
    await rig.startWorkers();
    const { accepted, acceptedPerSecond, deliveredPerSecond, latency, backlogAtEnd, emptyMs } =
      await publishOnce(rig, api, connections, seconds ?? SECONDS);
    const ratio = deliveredPerSecond / rig.limit;
    return {
      value: deliveredPerSecond,
      unit: 'delivered/s',
      ratio,
      latency,
      counts: countDeliveries(accepted, await rig.receiver.arrivals()),
      cost: await rig.endAndCost(accepted.length),
      musts: [
        { what: 'delivered ratio', measured: round(ratio, 4), atLeast: 0.06 },
        { what: 'p99 of the answer, ms', measured: latency?.p99Ms ?? Infinity, atMost: 60 },
        // Half a second of work; more means that it grew for the length of the run.
        {
          what: 'backlog at the end, seconds',
          measured: round(backlogAtEnd / Math.max(1, deliveredPerSecond), 2),
          atMost: 0.5,
        },
      ],
      details: {
        acceptedPerSecond: round(acceptedPerSecond, 1),
        deliveredPerSecond: round(deliveredPerSecond, 1),
        backlogAtEnd,
        emptyMs: emptyMs === null ? null : round(emptyMs),
      },
    };
  },
};
