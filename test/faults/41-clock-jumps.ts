/**
 * One of two workers has a clock that is two hours ahead, or behind, and then jumps to the other side. Due-ness and claims go by
 * the database's clock: nothing fires early or late, no live claim is taken away; and nobody sends a signature that its receiver
 * would refuse for its time.
 */
import type { FaultRow } from './fault-row.js';

const HOURS_MS = 2 * 3_600_000;
const EVENTS = 20;
const RETRY = { type: 'fixed', delaySeconds: 3, jitter: 'none' };
// Less what two readings of a clock are rounded by.
const RETRY_MS_MIN = 2_950;
// What receivers tolerate (Standard Webhooks: five minutes); a worker is to stop well before it.
const TIMESTAMP_OFF_SECONDS_MAX = 60;

export const row: FaultRow = {
  row: 41,
  name: 'clock-jumps',
  quick: 'short',
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    const urls = Array.from({ length: EVENTS }, (_, n) => ({
      url: receiver.url(`/fail-first/1/${n}`),
      retryPolicy: RETRY,
    }));
    await context.subscribe([...urls, receiver.url('/slow/3000')]);
    const accepted: string[] = [];
    const shifts = context.quick ? [HOURS_MS] : [HOURS_MS, -HOURS_MS];
    let secondsOffMax = 0;
    let earliestMs = Infinity;
    for (const shift of shifts) {
      const launch = { preload: ['test/faults/clock-shift.js'] };
      const right = await context.startWorker();
      const wrong = await context.startWorker({ launch, env: { CLOCK_SHIFT_MS: String(shift) } });
      accepted.push(...(await context.publishMany(3)));
      await context.tables.until(`SELECT count(*) >= 3 AS ok FROM attempts WHERE status = 'failed'`);
      // In the middle of attempts, claims and waiting retries.
      process.kill(wrong.pid, 'SIGUSR2');
      await context.settled(60_000);
      const journal = await receiver.journal();
      for (const { headers, epochMs } of journal)
        secondsOffMax = Math.max(
          secondsOffMax,
          Math.abs(epochMs / 1000 - Number(headers['webhook-timestamp'])),
        );
      for (const entries of Map.groupBy(journal, ({ headers }) => headers['posthorn-delivery']).values())
        if (entries.length > 1) earliestMs = Math.min(earliestMs, entries[1].epochMs - entries[0].epochMs);
      await context.stop(right);
      await context.stop(wrong);
    }
    context.check(earliestMs >= RETRY_MS_MIN, `a retry came ${earliestMs} ms after its first attempt`);
    const late = await context.tables.rows('SELECT 1 FROM attempts WHERE late');
    context.check(late.length === 0, 'a live claim was taken away', late.length);
    const figures = await context.invariants({ accepted, clocksAreWrong: true });
    context.check(
      secondsOffMax < TIMESTAMP_OFF_SECONDS_MAX,
      `a request was signed with a time that is ${Math.round(secondsOffMax)} s off`,
    );
    return {
      ...figures,
      by: 'preload',
      secondsOffMax: Math.round(secondsOffMax),
      retryMsMin: Math.round(earliestMs),
    };
  },
};
