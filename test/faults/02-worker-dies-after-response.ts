/**
 * A worker dies between the receiver's answer and T2: one more request, with the same id and bytes; one try on record.
 * Then another, with its outcomes half written: the same.
 */
import type { FaultRow } from './fault-row.js';

export const row: FaultRow = {
  row: 2,
  name: 'worker-dies-after-response',
  quick: 'short',
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    await context.subscribe([receiver.url('/ok')]);
    const accepted: string[] = [];
    const takenOverMs: number[] = [];
    const failpoints = context.quick
      ? ['after-response']
      : ['after-response', 'before-record', 'before-settle'];
    for (const [done, failpoint] of failpoints.entries()) {
      const doomed = await context.startWorker({ failpoint });
      accepted.push(...(await context.publishMany(1)));
      await doomed.exited;
      const asked = (await receiver.journal()).length;
      context.check(
        asked === 2 * done + 1,
        `${failpoint}: the receiver was asked once before the death`,
        asked,
      );
      const diedAt = performance.now();
      if (context.quick) await context.expireClaims();
      const heir = await context.startWorker();
      await receiver.waitFor(2 * done + 2, { timeoutMs: 30_000 });
      takenOverMs.push(Math.round(performance.now() - diedAt));
      await context.settled();
      await context.stop(heir);
    }
    const wrong = await context.tables.rows(
      `SELECT status, attempts, tries FROM deliveries WHERE (status, attempts, tries) <> ('delivered', 1, 1)`,
    );
    context.check(wrong.length === 0, 'each has one attempt on record', wrong);
    const deaths = failpoints.length;
    const figures = await context.invariants({ accepted, repeatsMax: deaths, unrecordedMax: deaths });
    context.check(figures.repeats === deaths, 'exactly one request was repeated for each death', figures);
    return { ...figures, deaths, takenOverMsMax: Math.max(...takenOverMs) };
  },
};
