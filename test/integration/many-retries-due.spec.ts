/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. More retries are due than have room among a worker's
 * slots. As they end the next ones start, and not only when the pump polls; and none is claimed that may not start.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

const SLOTS = 20;
const RETRIES = 120;
// By polls alone: 12 at a time, twice a second.
const BY_POLLS_MS = (RETRIES / 12) * 500;

let boundary: Boundary;
beforeEach(async () => {
  boundary = await Boundary.open({ still: true });
  // Each of another endpoint, so that none is saturated.
  for (let n = 0; n < RETRIES; n++) await boundary.publish(await boundary.customer());
  // As those of retries are.
  await boundary.database.query('UPDATE pgboss.job SET priority = 0');
});
afterEach(() => boundary.close());

const untilAllHaveEnded = () =>
  boundary.until(
    () => boundary.hits.length,
    (n) => n === RETRIES,
    20_000,
  );

it('starts due retries as fast as they end', async () => {
  const startedMs = performance.now();
  await boundary.workers[0].startPump({ concurrency: SLOTS, concurrencyPerEndpoint: SLOTS });
  await untilAllHaveEnded();
  expect(performance.now() - startedMs).toBeLessThan(BY_POLLS_MS / 2);
});

it('claims none while the clock is in doubt, when it may start none', async () => {
  const [worker] = boundary.workers;
  let [asked, inDoubt] = [0, true];
  await worker.startPump({ concurrency: SLOTS, clockIsInDoubt: () => inDoubt && ++asked > 0 });
  const claim = vi.spyOn(worker.queue, 'claim');
  await boundary.until(
    () => asked,
    (n) => n >= 5,
  );
  expect(claim).not.toHaveBeenCalled();
  inDoubt = false;
  await untilAllHaveEnded();
});
