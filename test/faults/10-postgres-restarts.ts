/**
 * PostgreSQL is restarted (fast) under load: publishers hear 503 with Retry-After and nothing else, and less than 10 s after
 * it is back events are accepted and delivered again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';

const BACK_MS_MAX = 10_000;

export const row: FaultRow = {
  row: 10,
  name: 'postgres-restarts',
  quick: false,
  cluster: 'own',
  async run(context) {
    const outage = await Outage.begin(context);
    const restarts = 3;
    const backMs: number[] = [];
    for (let n = 0; n < restarts; n++) {
      await outage.publishers.more(30);
      await context.cluster.stop('fast');
      await delay(500 + context.random.next() * 3000);
      await context.cluster.start();
      backMs.push(await outage.backAfterMs());
    }
    const figures = await outage.end({});
    const slowestMs = Math.max(...backMs);
    context.check(slowestMs < BACK_MS_MAX, `it took ${slowestMs} ms to come back`);
    return { ...figures, restarts, backMsMax: slowestMs };
  },
};
