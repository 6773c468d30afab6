/** A worker dies after T2's commit and before it knows of it: nobody is asked a second time. */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 3,
  name: 'worker-dies-after-commit',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok')]);
    const doomed = await context.startWorker({ failpoint: 'after-commit:3' });
    const accepted: string[] = [];
    // One by one: nothing else is under way at the death.
    for (let n = 1; n <= 3; n++) {
      accepted.push(...(await context.publishMany(1)));
      await receiver.waitFor(n);
      if (n < 3) await context.settled();
    }
    await doomed.exited;
    await context.startWorker();
    accepted.push(...(await context.publishMany(1)));
    await context.settled();
    const figures = await context.invariants({ accepted });
    context.check(figures.requests === 4, 'each was asked once', figures);
    return figures;
  },
};
