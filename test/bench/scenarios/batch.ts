import type { Scenario } from '../scenario.js';
import { round } from '../statistics.js';

const BATCH_EVENTS = 100;
const CALLS_AT_ONCE = 8;
// Of what drain has waiting: the api is several times as fast.
const TIMES_DELIVERIES = 3;

/** How fast the api alone accepts. No worker runs, so nothing is delivered; what was accepted is counted in the tables. */
export const batch: Scenario = {
  name: 'batch',
  about: 'POST /v1/events/batch of 100 events, 8 calls at once, no worker: accepted/s',
  async run(rig, { deliveries }) {
    const api = await rig.startProduct();
    const input = { api, batchEvents: BATCH_EVENTS, callsAtOnce: CALLS_AT_ONCE };
    const warmUp = { ...input, events: Math.ceil(deliveries / 4) };
    const warm = await rig.whileRunning(rig.load.call('publishBatches', warmUp, 90_000));
    const measured = { ...input, events: deliveries * TIMES_DELIVERIES };
    const run = await rig.whileRunning(rig.load.call('publishBatches', measured, 120_000));
    rig.refuseRefusals({ ...warm.refusals, ...run.refusals });

    const accepted = warm.accepted.length + run.accepted.length;
    const { pending } = await rig.storedDeliveries();
    if (pending !== accepted) throw new Error(`${accepted} were accepted, ${pending} are in the table`);
    const perSecond = (run.accepted.length / run.tookMs) * 1000;
    return {
      value: perSecond,
      unit: 'accepted/s',
      ratio: perSecond / rig.limit,
      latency: run.latency,
      cost: await rig.endAndCost(accepted),
      musts: [{ what: 'accepted ratio', measured: round(perSecond / rig.limit, 4), atLeast: 0.35 }],
      details: { accepted, stored: pending },
    };
  },
};
