/** A worker dies after T2's commit and before it knows: nobody is asked a second time. */
import type { FaultRow } from './fault-row.js';

const EVENTS = 20;

export const row: FaultRow = {
  row: 3,
  name: 'worker-dies-after-commit',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok')]);
    // One slot: each outcome is a group of its own, so nothing else is under way at the death.
    const doomed = await context.startWorker({
      failpoint: 'after-commit:5',
      env: { WORKER_CONCURRENCY: '1', WORKER_CONCURRENCY_PER_ENDPOINT: '1' },
    });
    const accepted = await context.publishMany(EVENTS);
    await doomed.exited;
    await context.startWorker();
    await context.settled();
    const figures = await context.invariants({ accepted });
    context.check(figures.requests === EVENTS, 'each was asked once', figures);
    return figures;
  },
};
