/**
 * PostgreSQL crashes under load (kill -9 of its postmaster, and `immediate`) and is started again: every event that was
 * answered 202 is there and delivered, no key made two, nobody's tries were burnt.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 11,
  name: 'postgres-crashes',
  quick: 'short',
  cluster: 'own',
  async run(context) {
    const outage = await Outage.begin(context);
    const crashes = context.quick
      ? (['kill'] as const)
      : (['kill', 'immediate', 'kill', 'immediate'] as const);
    const backMs: number[] = [];
    for (const crash of crashes) {
      await outage.publishers.more(50);
      if (crash === 'kill') context.cluster.kill();
      else await context.cluster.stop('immediate');
      await delay(200 + context.random.next() * 1500);
      await context.cluster.start();
      backMs.push(await outage.backAfterMs());
    }
    // Nothing that was claimed was sent without being recorded: outcomes outlive the crash in the workers' memory.
    const figures = await outage.end({});
    const failed = await context.tables.rows(`SELECT failure FROM attempts WHERE status = 'failed'`);
    context.check(failed.length === 0, 'an attempt failed', failed.slice(0, 3));
    return { ...figures, crashes: crashes.length, backMsMax: Math.max(...backMs) };
  },
};
