/**
 * Every packet to and from PostgreSQL takes 200 ms, then 2 s, then none again. Back-pressure and time-outs, no deadlock of the pools:
 * nothing is lost, refusals are 503, at 200 ms no claim is lost, and all is quick again afterwards.
 */
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';
import { setTimeout as delay } from 'node:timers/promises';

// Of test/support/client.ts. With 4 s for each question and its answer T1 takes longer than that.
const PUBLISHERS_PATIENCE_MS = 20_000;

export const row: FaultRow = {
  row: 13,
  name: 'postgres-is-slow',
  quick: false,
  async run(context) {
    const proxy = await context.startProxy();
    const outage = await Outage.begin(context, proxy.urlOf(context.databaseUrl));
    const late = async () =>
      (await context.tables.row<{ n: number }>('SELECT count(*)::int AS n FROM attempts WHERE late')).n;

    proxy.set({ latencyMs: 200 });
    const slowFrom = outage.publishers.answered.size;
    await delay(20_000);
    const accepted200 = outage.publishers.answered.size - slowFrom;
    context.check(accepted200 > 20, 'at 200 ms events are still accepted', accepted200);
    context.check((await late()) === 0, 'at 200 ms no claim is lost');

    proxy.set({ latencyMs: 2000 });
    await delay(45_000);
    proxy.set({ latencyMs: 0 });
    const backMs = await outage.backAfterMs();
    context.check(backMs < 20_000, `it took ${backMs} ms to be quick again`);
    // At 2 s a claim may run out before its heartbeat comes through: at least once, with a cause.
    const figures = await outage.end({ repeatsMax: 200 }, PUBLISHERS_PATIENCE_MS);
    return { ...figures, accepted200, late: await late(), backMs };
  },
};
