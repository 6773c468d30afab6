/** A worker dies between the receiver's answer and T2: one more request, with the same id and bytes; one try on record. */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 2,
  name: 'worker-dies-after-response',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok')]);
    const doomed = await context.startWorker({ failpoint: 'after-response' });
    const accepted = await context.publishMany(1);
    await doomed.exited;
    context.check((await receiver.journal()).length === 1, 'the receiver was asked once before the death');
    const diedAt = performance.now();
    await context.startWorker();
    await receiver.waitFor(2, { timeoutMs: 30_000 });
    const takenOverMs = Math.round(performance.now() - diedAt);
    await context.settled();

    const delivery = await context.tables.row<{ status: string; attempts: number; tries: number }>(
      'SELECT status, attempts, tries FROM deliveries',
    );
    context.check(
      delivery.status === 'delivered' && delivery.attempts === 1 && delivery.tries === 1,
      'one attempt is on record',
      delivery,
    );
    const figures = await context.invariants({ accepted, repeatsMax: 1, unrecordedMax: 1 });
    context.check(figures.repeats === 1, 'exactly one request was repeated', figures);
    return { ...figures, takenOverMs };
  },
};
