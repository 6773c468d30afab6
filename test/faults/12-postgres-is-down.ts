/**
 * PostgreSQL is down for ten minutes (quick: 15 s). Api and workers wait without a busy loop (CPU below 20 % of a core each)
 * and without growing; afterwards everything is delivered and no try was burnt for a fault of ours.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Outage } from './outage.js';
import type { FaultRow } from './fault-row.js';

const CPU_MAX = 0.2;
const GROWTH_MB_MAX = 40;
// Connections are given up and errors told for the first time: that is not yet waiting.
const SETTLE_MS = 3_000;

export const row: FaultRow = {
  row: 12,
  name: 'postgres-is-down',
  quick: 'short',
  cluster: 'own',
  timeoutSeconds: 760,
  async run(context) {
    const awayMs = context.quick ? 15_000 : 600_000;
    const outage = await Outage.begin(context);
    const pids = context.pids();
    await context.cluster.stop('immediate');
    await delay(SETTLE_MS);
    const before = await Promise.all(pids.map(usageOf));
    const startedAt = performance.now();
    await delay(awayMs - SETTLE_MS);
    const seconds = (performance.now() - startedAt) / 1000;
    const after = await Promise.all(pids.map(usageOf));
    await context.cluster.start();
    const backMs = await outage.backAfterMs();

    const cpu = Math.max(
      ...after.map(({ cpuSeconds }, at) => (cpuSeconds - before[at].cpuSeconds) / seconds),
    );
    const grownMb = Math.max(...after.map(({ rssMb }, at) => rssMb - before[at].rssMb));
    context.check(
      cpu < CPU_MAX,
      `a process used ${Math.round(cpu * 100)} % of a core while it could do nothing`,
    );
    context.check(grownMb < GROWTH_MB_MAX, `a process grew by ${Math.round(grownMb)} MB`);
    const figures = await outage.end({});
    const burnt = await context.tables.rows(`SELECT tries FROM deliveries WHERE tries <> 1`);
    context.check(burnt.length === 0, 'tries were burnt', burnt.slice(0, 3));
    return {
      ...figures,
      awaySeconds: awayMs / 1000,
      cpuPercentMax: Math.round(cpu * 1000) / 10,
      grownMbMax: Math.round(grownMb),
      backMs,
    };
  },
};

async function usageOf(pid: number): Promise<{ cpuSeconds: number; rssMb: number }> {
  // Fields of proc(5), counted behind the name, which may hold spaces: 14 utime, 15 stime (100 a second), 24 pages.
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  const [utime, stime, pages] = [fields[11], fields[12], fields[21]].map(Number);
  return { cpuSeconds: (utime + stime) / 100, rssMb: (pages * 4096) / 1e6 };
}
