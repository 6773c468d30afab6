/**
 * Two workers believe to be the same one (a container copied with its host name, both pid 1): each delivery is sent once, whoever
 * sends it, also when one of the two is killed.
 */
import type { FaultRow } from './fault-row.js';

const EVENTS = 300;

export const row: FaultRow = {
  row: 39,
  name: 'two-workers-of-one-name',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/slow/20/a'), receiver.url('/ok/b')]);
    const launch = { preload: ['test/faults/same-identity.js'] };
    await Promise.all([context.startWorker({ launch }), context.startWorker({ launch })]);
    const accepted = [];
    for (let from = 0; from < EVENTS; from += 50)
      accepted.push(...(await context.publishMany(50, 'c', from)));
    await context.settled();
    const names = await context.tables.rows<{ worker: string }>('SELECT DISTINCT worker FROM attempts');
    context.check(names.length === 1 && names[0].worker.endsWith(':1'), 'both have one name', names);
    return context.invariants({ accepted });
  },
};
