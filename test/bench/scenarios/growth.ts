import type { Cost } from '../cost.js';
import { historyFor } from '../history/history.js';
import type { ApiTarget } from '../load/target.js';
import type { BenchOptions } from '../options.js';
import type { Rig } from '../rig.js';
import type { Scenario } from '../scenario.js';
import { countDeliveries, mean, round } from '../statistics.js';
import { drainOnce } from './drain-once.js';
import { publishOnce } from './publish-once.js';

const PUBLISH_SECONDS = 7;
// Twice each and mirrored: a machine that gets slower or faster all the while does so for both alike.
const TURNS = ['empty', 'grown', 'grown', 'empty'] as const;

interface Turn {
  drain: number;
  publish: number;
  accepted: string[];
  cost: Cost;
}

/** The same work on an empty database and on one with a history, in one run: what a year of use costs. */
export const growth: Scenario = {
  name: 'growth',
  about: 'drain and publish with 30 days of history and many subscribers ÷ the same on an empty database',
  timeoutSeconds: (seconds) => TURNS.length * (seconds ?? PUBLISH_SECONDS) + 560,
  async run(rig, options) {
    const history = await historyFor(options, rig.log);
    const measured = { empty: [] as Turn[], grown: [] as Turn[] };
    for (const turn of rig.smoke ? TURNS.slice(0, 2) : TURNS) {
      if (rig.cluster) await rig.endProduct();
      const api = await rig.startProduct(turn === 'grown' ? history.directory : undefined);
      measured[turn].push(await measure(rig, api, options));
    }
    const empty = meansOf(measured.empty);
    const grown = meansOf(measured.grown);
    const accepted = [...measured.empty, ...measured.grown].flatMap((turn) => turn.accepted);
    const [drainRatio, publishRatio] = [grown.drain / empty.drain, grown.publish / empty.publish];
    return {
      value: Math.min(drainRatio, publishRatio),
      unit: 'of the speed without history',
      ratio: grown.drain / rig.limit,
      counts: countDeliveries(accepted, await rig.receiver.arrivals()),
      cost: measured.grown[0].cost,
      musts: [
        { what: 'drain ÷ without history', measured: round(drainRatio, 3), atLeast: 0.9 },
        { what: 'publish ÷ without history', measured: round(publishRatio, 3), atLeast: 0.9 },
      ],
      details: {
        emptyDrainPerSecond: round(empty.drain, 1),
        grownDrainPerSecond: round(grown.drain, 1),
        emptyPublishPerSecond: round(empty.publish, 1),
        grownPublishPerSecond: round(grown.publish, 1),
        // Steadier than speeds: what others do on the cores is not in it.
        emptyCpuMsPerDelivery: empty.cpuMs,
        grownCpuMsPerDelivery: grown.cpuMs,
        // Of the two turns of each, as limitSpread: what a ratio nearer to 1 than this cannot tell.
        emptyDrainSpread: empty.drainSpread,
        grownDrainSpread: grown.drainSpread,
        emptyPublishSpread: empty.publishSpread,
        grownPublishSpread: grown.publishSpread,
        historyDeliveries: history.deliveries,
        historySubscribers: history.subscribers,
      },
    };
  },
};

function meansOf(turns: Turn[]) {
  const [drains, publishes] = [turns.map(({ drain }) => drain), turns.map(({ publish }) => publish)];
  const cpu = turns.map(({ cost }) => cost.cpuMsPerDelivery);
  return {
    drain: mean(drains),
    publish: mean(publishes),
    drainSpread: round(spread(drains), 2),
    publishSpread: round(spread(publishes), 2),
    cpuMs: cpu.includes(null) ? null : round(mean(cpu as number[]), 4),
  };
}

/** (most − least) ÷ mean. */
function spread(values: number[]): number {
  return (Math.max(...values) - Math.min(...values)) / mean(values);
}

async function measure(rig: Rig, api: ApiTarget, options: BenchOptions): Promise<Turn> {
  const drained = await drainOnce(rig, api, options.deliveries);
  const published = await publishOnce(rig, api, options.connections, options.seconds ?? PUBLISH_SECONDS);
  const accepted = [...drained.accepted, ...published.accepted];
  // What was sent and is not recorded would be sent again by the next turn, on the same history.
  await rig.stopWorkers();
  return {
    drain: drained.perSecond,
    publish: published.deliveredPerSecond,
    accepted,
    cost: await rig.endAndCost(accepted.length),
  };
}
