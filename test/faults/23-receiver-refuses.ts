/** Nobody listens: `connect_refused`, at once and by the schedule; and who comes back in time gets the event. */
import { deliveriesOf, judgeCases, subscribeCases, type Cases } from './cases.js';
import { fine, freePort, startHostileServer } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const DELAYS_SECONDS = [1, 2];

export const row: FaultRow = {
  row: 23,
  name: 'receiver-refuses',
  // The class is http-sender.spec.ts's, the schedule and who comes back in time due-retries-are-on-time.e2e.ts's.
  quick: false,
  async run(context) {
    const [deadPort, sleepingPort] = [await freePort(), await freePort()];
    const endpoint = { retryPolicy: { type: 'schedule', delaysSeconds: DELAYS_SECONDS, jitter: 'none' } };
    const cases: Cases = {
      dead: {
        url: `http://127.0.0.1:${deadPort}/fine`,
        failure: 'connect_refused',
        attempts: 3,
        statusCode: null,
        tookMs: [0, 500],
        endpoint,
      },
      deadTls: {
        url: `https://127.0.0.1:${deadPort}/fine`,
        failure: 'connect_refused',
        attempts: 3,
        statusCode: null,
        endpoint,
      },
    };
    await context.startApi();
    const endpoints = await subscribeCases(context, cases);
    const sleeping = (
      await context.client.createEndpoint('c', { url: `http://127.0.0.1:${sleepingPort}/fine`, ...endpoint })
    ).id;
    await context.startWorker();
    const accepted = await context.publishMany(1);
    await context.tables.until('SELECT count(*) >= 3 AS ok, count(*)::int AS n FROM attempts');
    await startHostileServer(context, { behaviours: { fine }, port: sleepingPort });
    await context.settled();

    const { shown, lateMsMax } = await judgeCases(context, cases, endpoints);
    for (const [name, [delivery]] of shown) {
      const { timeline, gaveUp } = delivery;
      context.check(gaveUp === 'attempts_exhausted', `${name}: gave up because of ${gaveUp}`);
      for (const [at, delaySeconds] of DELAYS_SECONDS.entries()) {
        const plannedMs = Date.parse(timeline[at + 1].scheduledAt) - Date.parse(timeline[at].finishedAt);
        context.check(
          Math.abs(plannedMs - delaySeconds * 1000) < 500,
          `${name}: retry ${at + 1} was planned after ${plannedMs} ms`,
        );
      }
    }
    const [back] = await deliveriesOf(context, sleeping);
    context.check(
      back.status === 'delivered' && back.timeline[0].failure === 'connect_refused',
      'who came back',
      back,
    );
    const figures = await context.invariants({ accepted });
    return { ...figures, retryLateMsMax: lateMsMax };
  },
};
