/**
 * Receivers accept and never answer, more of them than the worker has slots: each attempt ends at its own deadline, to half a
 * second, and its slot is free again; who shares the worker with them gets its events meanwhile.
 */
import { runCases, TWO_TRIES, type Cases } from './cases.js';
import { fine, startHostileServer } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const SLOTS = 8;
// Below the number of failures that opens a circuit.
const EVENTS = 3;
const OVER_MS_MAX = 500;
// When all slots hang, the next that ends is his: the shortest deadlines are a second.
const FINE_WAITED_MS_MAX = 5000;

export const row: FaultRow = {
  row: 24,
  name: 'receiver-hangs',
  quick: 'short',
  alone: true,
  async run(context) {
    const server = await startHostileServer(context, {
      behaviours: {
        fine,
        hang: () => 'hang',
        // Half a head, and then nothing.
        halfhead: (socket) => (socket.write('HTTP/1.1 200 OK\r\nx-a'), 'hang'),
      },
    });
    const deaf = await startHostileServer(context, { onConnection: (socket) => socket.pause() });
    const hanging = (url: string, seconds: number, failure: 'response_timeout' | 'header_timeout') => ({
      url,
      failure,
      attempts: 1,
      statusCode: null,
      tookMs: [seconds * 1000 - 1, seconds * 1000 + OVER_MS_MAX] as const,
      endpoint: { timeoutSeconds: seconds, retryPolicy: { ...TWO_TRIES, attemptsMax: 1 } },
    });
    const cases: Record<string, Cases[string]> = {
      deaf: hanging(deaf.url('/'), 1, 'response_timeout'),
      halfhead: hanging(server.url('/halfhead'), 1, 'header_timeout'),
      fine: { url: server.url('/fine'), failure: null, tookMs: [0, 1000] },
    };
    for (const seconds of context.quick ? [1] : [1, 2, 5, 15])
      for (const which of ['a', 'b'])
        cases[`hang${seconds}${which}`] = hanging(
          server.url(`/hang/${seconds}/${which}`),
          seconds,
          'response_timeout',
        );

    const { shown, figures } = await runCases(context, cases, {
      events: EVENTS,
      settledMs: 120_000,
      env: { WORKER_CONCURRENCY: String(SLOTS) },
    });
    const attempts = [...shown].flatMap(([name, deliveries]) =>
      deliveries.flatMap(({ timeline }) => timeline.map((attempt) => ({ name, ...attempt }))),
    );
    const overMsMax = Math.max(
      ...attempts
        .filter(({ failure }) => failure !== null)
        .map(({ name, timings }) => timings.totalMs! - cases[name].tookMs![0]),
    );
    const underWayMax = mostAtOnce(attempts);
    context.check(underWayMax <= SLOTS, `${underWayMax} requests were under way on ${SLOTS} slots`);
    // The first to hang were over when the last of the healthy one's events came to its turn, or none waited for a slot.
    const fineWaitedMsMax = Math.max(
      ...attempts
        .filter(({ name }) => name === 'fine')
        .map((each) => Date.parse(each.startedAt) - Date.parse(each.scheduledAt)),
    );
    context.check(
      fineWaitedMsMax < FINE_WAITED_MS_MAX,
      `the healthy endpoint waited ${fineWaitedMsMax} ms for a slot`,
    );
    return { ...figures, slots: SLOTS, underWayMax, overMsMax: Math.round(overMsMax), fineWaitedMsMax };
  },
};

/** How many of them were under way at the same time. */
function mostAtOnce(attempts: readonly { startedAt: string; finishedAt: string }[]): number {
  const steps = attempts.flatMap(({ startedAt, finishedAt }) => [
    [Date.parse(startedAt), 1],
    [Date.parse(finishedAt), -1],
  ]);
  steps.sort(([a, up], [b, down]) => a - b || up - down);
  let [now, most] = [0, 0];
  for (const [, step] of steps) most = Math.max(most, (now += step));
  return most;
}
