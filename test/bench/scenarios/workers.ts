import type { Scenario } from '../scenario.js';
import { countDeliveries, median, round } from '../statistics.js';
import { drainOnce } from './drain-once.js';

// Mirrored: a machine that gets slower or faster all the while does so for both alike.
const ROUNDS = [1, 2, 1];

/** What a second worker adds on the same cores. Each drain has endpoints of its own: all lanes start with the same window. */
export const workers: Scenario = {
  name: 'workers',
  about: 'drain with one worker and with two, in turns on one database: two ÷ one, and no duplicates',
  async run(rig, { deliveries, endpoints }) {
    const api = await rig.startProduct();
    const speeds: Record<number, number[]> = { 1: [], 2: [] };
    const accepted: string[] = [];
    for (const [round, count] of (rig.smoke ? ROUNDS.slice(0, 2) : ROUNDS).entries()) {
      const url = (n: number) => rig.receiver.url(`/ok/${round}-${n}`, n);
      const subscribers = await rig.subscribe(api.url, endpoints, url);
      const drained = await drainOnce(rig, { ...api, subscribers }, deliveries, count);
      speeds[count].push(drained.perSecond);
      // One by one: a million arguments are too many for push(...).
      for (const id of drained.accepted) accepted.push(id);
      await rig.stopWorkers();
    }
    const [one, two] = [median(speeds[1]), median(speeds[2])];
    const counts = countDeliveries(accepted, await rig.receiver.arrivals());
    return {
      value: two / one,
      unit: 'of one worker’s drain',
      ratio: two / rig.limit,
      counts,
      cost: await rig.endAndCost(accepted.length),
      musts: [
        { what: 'two workers ÷ one', measured: round(two / one, 3), atLeast: 1.15 },
        { what: 'duplicates', measured: counts.duplicates, atMost: 0 },
      ],
      details: { oneWorkerPerSecond: round(one, 1), twoWorkersPerSecond: round(two, 1) },
    };
  },
};
