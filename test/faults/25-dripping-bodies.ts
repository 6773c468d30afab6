/**
 * 200 receivers at a time answer with a body that drips and never ends: the status decides, the body gets two seconds and is
 * cut off with a note; whoever shares the worker with them waits no longer than twice as long as without.
 */
import { NOISE_MS, slowestOf } from './bystander.js';
import { deliveriesOf, TWO_TRIES } from './cases.js';
import { fine, startHostileServer, type Misbehaviour } from './hostile-server.js';
import type { FaultRow } from './fault-row.js';

const ENDPOINTS = 20;
const EVENTS = 10;
const BODY_MS = [1900, 3000] as const;

export const row: FaultRow = {
  row: 25,
  name: 'dripping-bodies',
  quick: false,
  async run(context) {
    let [now, most] = [0, 0];
    const dripping =
      (status: number, everyMs: number): Misbehaviour =>
      (socket) => {
        most = Math.max(most, ++now);
        socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: 100000\r\n\r\n`);
        const timer = setInterval(() => socket.write('.'), everyMs);
        socket.once('close', () => {
          now--;
          clearInterval(timer);
        });
        return String(status);
      };
    const server = await startHostileServer(context, {
      behaviours: { drip: dripping(200, 500), drip404: dripping(404, 50), fine },
    });
    await context.startApi();
    const dripping200 = await context.subscribe(
      Array.from({ length: ENDPOINTS - 1 }, (_, n) => ({
        url: server.url(`/drip/${n}`),
        retryPolicy: TWO_TRIES,
      })),
    );
    const dripping404 = (
      await context.client.createEndpoint('c', { url: server.url('/drip404'), retryPolicy: TWO_TRIES })
    ).id;
    const [endpoint] = await context.subscribe([server.url('/fine')], 'other');
    const bystander = { subscriber: 'other', endpoint };
    await context.startWorker({ env: { WORKER_CONCURRENCY: '256', WORKER_CONCURRENCY_PER_HOST: '1024' } });

    const accepted = await context.publishMany(5, 'other');
    await context.settled();
    const before = await slowestOf(context, bystander, 30, accepted);
    accepted.push(...(await context.publishMany(EVENTS)));
    await context.until('bodies drip', () => now > 50);
    const during = await slowestOf(context, bystander, 30, accepted);
    const drippedMeanwhile = now;
    await context.settled();

    const tookMs: number[] = [];
    for (const id of [...dripping200, dripping404])
      for (const { status, timeline } of await deliveriesOf(context, id)) {
        const [{ timings, note, response, statusCode }] = timeline;
        const expected = id === dripping404 ? ['failed', 404] : ['delivered', 200];
        context.check(status === expected[0] && statusCode === expected[1], 'the status decides', {
          status,
          statusCode,
        });
        context.check(
          timeline.length === 1 && /did not end in time/.test(note ?? '') && response?.truncated === true,
          'the body is noted as cut off',
          timeline,
        );
        tookMs.push(Math.round(timings.totalMs!));
      }
    const [least, longest] = [Math.min(...tookMs), Math.max(...tookMs)];
    context.check(least >= BODY_MS[0] && longest <= BODY_MS[1], 'the body gets two seconds', [
      least,
      longest,
    ]);
    context.check(drippedMeanwhile > 0, 'nothing dripped any more while the others were measured');
    context.check(
      during <= Math.max(2 * before, NOISE_MS),
      `the others' slowest rose from ${before} to ${during} ms`,
    );
    const figures = await context.invariants({ accepted });
    return {
      ...figures,
      atOnceMax: most,
      bodyMsMax: longest,
      othersMsBefore: before,
      othersMsDuring: during,
    };
  },
};
