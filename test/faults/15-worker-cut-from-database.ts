/**
 * A worker is cut from PostgreSQL for 60 s and still reaches its receivers: it ends what is under way and starts nothing that
 * it cannot prove to be its own. When the wire is mended its outcomes are recorded.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startPartition } from './partition.js';
import type { FaultRow } from './fault-row.js';

const CUT_MS = 60_000;
// The queue's heartbeat: after it somebody else may have what it had claimed.
const LEASE_MS = 12_000;

export const row: FaultRow = {
  row: 15,
  name: 'worker-cut-from-database',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/slow/2000')]);
    const partition = await startPartition(context);
    const worker = await context.startWorker({
      ...partition.worker,
      env: { WORKER_CONCURRENCY_PER_ENDPOINT: '2' },
    });
    // Claimed for a minute of work: a worker that trusted its claims would go on sending.
    const accepted = await context.publishMany(60);
    await receiver.waitFor(4);
    await partition.cut();
    const cutAt = Date.now();
    await delay(CUT_MS);
    const sentAfterLease = (await receiver.journal()).filter(
      ({ epochMs }) => epochMs > cutAt + LEASE_MS,
    ).length;
    context.check(
      sentAfterLease === 0,
      `${sentAfterLease} requests were sent without a proof of their claim`,
    );
    const sentWhileCut = (await receiver.journal()).filter(({ epochMs }) => epochMs > cutAt).length;
    await partition.mend();
    await context.settled(150_000);
    const figures = await context.invariants({ accepted, repeatsMax: 4 });
    await context.stop(worker);
    return { ...figures, by: partition.by, cutSeconds: CUT_MS / 1000, sentWhileCut, sentAfterLease };
  },
};
