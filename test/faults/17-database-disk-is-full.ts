/**
 * The disk under the database's tables is full: publishers hear 503 and never a 202 that is not there, reading works, nobody
 * crashes; when there is room again all goes on without anybody's help.
 */
import { Outage } from './outage.js';
import { startFullDisk } from './full-disk.js';
import type { FaultRow } from './fault-row.js';
import { setTimeout as delay } from 'node:timers/promises';

export const row: FaultRow = {
  row: 17,
  name: 'database-disk-is-full',
  quick: false,
  cluster: 'own',
  async run(context) {
    const disk = await startFullDisk(context);
    const outage = await Outage.begin(context);
    const { refusals } = outage.publishers;
    await disk.fill();
    await context.until('a publisher is refused', () => refusals.length > 5, 60_000);
    await delay(8_000);
    // Reading needs no room.
    const page = await context.client.request('GET', '/v1/deliveries?limit=5&subscriber=c');
    context.check(page.status === 200, 'reading works', page);
    const refusedWhileFull = refusals.length;
    context.check(refusedWhileFull > 20, 'it stays full', refusedWhileFull);
    await disk.free();
    const backMs = await outage.backAfterMs();
    // Heartbeats may have been refused, too: what ran out then was sent again.
    const figures = await outage.end({ repeatsMax: 100 });
    return { ...figures, by: disk.by, refusedWhileFull, backMs };
  },
};
