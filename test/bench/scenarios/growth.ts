import { historyFor } from '../history/history.js';
import type { ApiTarget } from '../load/target.js';
import type { BenchOptions } from '../options.js';
import type { Rig } from '../rig.js';
import type { Scenario } from '../scenario.js';
import { countDeliveries, round } from '../statistics.js';
import { drainOnce } from './drain-once.js';
import { publishOnce } from './publish-once.js';

const PUBLISH_SECONDS = 10;

interface Speeds {
  drain: number;
  publish: number;
  accepted: string[];
}

/** The same work on an empty database and on one with a history, in one run: what a year of use costs. */
export const growth: Scenario = {
  name: 'growth',
  about: 'drain and publish with 30 days of history and many subscribers ÷ the same on an empty database',
  timeoutSeconds: () => 400,
  async run(rig, options) {
    const history = await historyFor(options, rig.log);
    const empty = await measure(rig, await rig.startProduct(), options);
    await rig.endProduct();
    const grown = await measure(rig, await rig.startProduct(history.directory), options);
    const accepted = [...empty.accepted, ...grown.accepted];
    const [drainRatio, publishRatio] = [grown.drain / empty.drain, grown.publish / empty.publish];
    return {
      value: Math.min(drainRatio, publishRatio),
      unit: 'of the speed without history',
      ratio: grown.drain / rig.limit,
      counts: countDeliveries(accepted, await rig.receiver.arrivals()),
      cost: await rig.endAndCost(grown.accepted.length),
      musts: [
        { what: 'drain ÷ without history', measured: round(drainRatio, 3), atLeast: 0.9 },
        { what: 'publish ÷ without history', measured: round(publishRatio, 3), atLeast: 0.9 },
      ],
      details: {
        emptyDrainPerSecond: round(empty.drain, 1),
        grownDrainPerSecond: round(grown.drain, 1),
        emptyPublishPerSecond: round(empty.publish, 1),
        grownPublishPerSecond: round(grown.publish, 1),
        historyDeliveries: history.deliveries,
        historySubscribers: history.subscribers,
      },
    };
  },
};

async function measure(rig: Rig, api: ApiTarget, options: BenchOptions): Promise<Speeds> {
  const drained = await drainOnce(rig, api, options.deliveries);
  const published = await publishOnce(rig, api, options.connections, options.seconds ?? PUBLISH_SECONDS);
  return {
    drain: drained.perSecond,
    publish: published.deliveredPerSecond,
    accepted: [...drained.accepted, ...published.accepted],
  };
}
