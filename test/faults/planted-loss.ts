/** Not a fault of the product: the suite's own test. A delivery is removed by hand, and the row must be reported. */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 0,
  name: 'planted-loss',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok')]);
    await context.startWorker();
    const accepted = await context.publishMany(3);
    await context.settled();
    await context.tables.rows('DELETE FROM deliveries WHERE id = (SELECT id FROM deliveries LIMIT 1)');
    return context.invariants({ accepted });
  },
};
