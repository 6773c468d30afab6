/**
 * SIGTERM under load, 200 requests under way: nothing new is claimed, what ends in time is recorded once, what hangs
 * is given back, and the worker is gone within 20 s with exit 0.
 */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 5,
  name: 'graceful-stop',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    const slow = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ url: receiver.url(`/slow/1500/${name}`) }));
    const endpoints = await context.subscribe([
      ...slow,
      { url: receiver.url('/hang/a'), timeoutSeconds: 30 },
    ]);
    const stopping = await context.startWorker({ env: { WORKER_CONCURRENCY_PER_ENDPOINT: '40' } });
    const accepted = await context.publishMany(60);
    await receiver.waitFor(200);

    const exit = context.stop(stopping);
    await context.client.request('PATCH', `/v1/subscribers/c/endpoints/${endpoints.at(-1)}`, {
      url: receiver.url('/ok'),
    });
    const heir = await context.startWorker();
    const { code, ms } = await exit;
    context.check(code === 0, 'exit 0', code);
    context.check(ms < 20_000, `it took ${ms} ms to stop`);
    await context.settled();
    const figures = await context.invariants({ accepted });
    const late = await context.tables.rows('SELECT 1 FROM attempts WHERE late');
    context.check(late.length === 0, 'no outcome came late', late.length);
    await context.stop(heir);
    return { ...figures, exitMs: ms };
  },
};
