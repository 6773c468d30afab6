import { setTimeout as delay } from 'node:timers/promises';
import type { Health } from '../rig.js';
import type { Must, Scenario } from '../scenario.js';
import { countDeliveries, mean, round } from '../statistics.js';
import { publishOnce } from './publish-once.js';

const SECONDS = 600;
const FULL_SPEED_SECONDS = 10;
const SAMPLES = 120;

const DEADEST =
  'SELECT relname, n_dead_tup AS dead FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY n_dead_tup DESC LIMIT 5';

interface Watched {
  readonly name: keyof Health;
  /** Growth below it is noise, whatever it is a share of. */
  readonly noise: number;
}

const WATCHED: readonly Watched[] = [
  { name: 'apiRssMb', noise: 15 },
  { name: 'workerRssMb', noise: 15 },
  { name: 'deadTuples', noise: 20_000 },
  { name: 'oldestDueSeconds', noise: 1 },
  { name: 'apiLagP99Ms', noise: 5 },
  { name: 'workerLagP99Ms', noise: 5 },
];

/**
 *   flat out 10 s ── half of that, for 10 minutes ═══════════════════
 *                    first fifth (warm-up) │ second fifth │ … │ last fifth
 *
 * What grows with time. Each number's mean over the last fifth is told beside that over the second; a must is that it is
 * not 1.2 times as much.
 */
export const soak: Scenario = {
  name: 'soak',
  about:
    '10 minutes at half of what publish reaches: what grows of memory, dead tuples, due age, event-loop lag',
  timeoutSeconds: (seconds) => (seconds ?? SECONDS) + 120,
  async run(rig, { connections, seconds: asked }) {
    const seconds = asked ?? SECONDS;
    const api = await rig.startProduct();
    await rig.startWorkers();
    const full = await publishOnce(rig, api, connections, Math.min(FULL_SPEED_SECONDS, seconds));

    const perSecond = Math.max(1, Math.round(full.deliveredPerSecond / 2));
    const before = (await rig.receiver.counts()).distinct;
    const samples: Health[] = [];
    let done = false;
    const input = { api, perSecond, warmupSeconds: 0, seconds };
    const load = rig
      .whileRunning(rig.load.call('publishPaced', input, (seconds + 60) * 1000))
      .finally(() => (done = true));
    load.catch(() => {});
    const everyMs = Math.max(100, (seconds * 1000) / SAMPLES);
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition
    while (!done) {
      samples.push(await rig.health());
      await Promise.race([load.catch(() => null), delay(everyMs)]);
    }
    const { accepted, latency, refusals } = await load;
    rig.refuseRefusals(refusals);
    const all = rig.receiver.waitForDistinct(before + accepted.length, 20_000);
    await rig.whileRunning(all.catch(() => null));
    for (const { relname, dead } of await rig.query(DEADEST)) rig.log(`${dead} dead tuples in ${relname}`);
    const cost = await rig.endAndCost(full.accepted.length + accepted.length);

    const fifth = Math.max(1, Math.floor(samples.length / 5));
    const musts: Must[] = [];
    const details: Record<string, number | null> = {
      publishedPerSecond: perSecond,
      fullSpeedPerSecond: round(full.deliveredPerSecond, 1),
      samples: samples.length,
    };
    for (const { name, noise } of WATCHED) {
      const values = samples.map((sample) => sample[name]);
      const early = mean(values.slice(fifth, fifth * 2));
      const late = mean(values.slice(-fifth));
      details[`${name}Early`] = round(early, 2);
      details[`${name}Late`] = round(late, 2);
      musts.push({
        what: `${name} at the end`,
        measured: round(late, 2),
        atMost: round(early * 1.2 + noise, 2),
      });
    }
    return {
      value: perSecond,
      unit: 'events/s, half of full speed',
      ratio: perSecond / rig.limit,
      latency,
      counts: countDeliveries([...full.accepted, ...accepted], await rig.receiver.arrivals()),
      cost,
      musts,
      details,
    };
  },
};
