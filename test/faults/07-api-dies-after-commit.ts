/** The api dies between T1's commit and the 202, or with its COMMIT on the wire: the same key gets the one event. */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 7,
  name: 'api-dies-after-commit',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    let api = await context.startApi({ failpoint: 'in-commit:5' });
    await context.subscribe([receiver.url('/ok')]);
    const worker = await context.startWorker();
    const env = { PORT: String(api.port) };
    const publishers = context.startPublishers({ publishers: 4 });
    const failpoints = ['after-commit:10'];
    for (const failpoint of [...failpoints, null]) {
      await api.exited;
      api = await context.startApi({ env, ...(failpoint === null ? {} : { failpoint }) });
    }
    await publishers.more(20);
    await publishers.stop();
    await context.settled();
    const figures = await context.invariants({ answered: publishers.answered });
    context.check(figures.events === publishers.answered.size, 'one event for each key', figures);
    // Or no death fell between a commit and its answer.
    context.check(publishers.replayed > 0, 'no stored answer was given again');
    await context.stop(worker);
    return { ...figures, deaths: 2, replayed: publishers.replayed };
  },
};
