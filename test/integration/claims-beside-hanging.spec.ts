/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. An endpoint hangs and has more in the queue than it may
 * start. Each delivery beside it costs the claims that announced it, not one more for each of its steps: every claim steps over
 * all that hangs, and the next delivery would wait for it.
 */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Boundary } from './boundary-fixture.js';

const SLOTS_OF_ONE = 8;
const IN_FRONT = 60;
const BESIDE = 30;
// Of first attempts and of retries.
const CLAIMS_A_LOOK = 2;
const POLL_MS = 500;

let boundary: Boundary;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
});
afterAll(() => boundary.close());

it('claims for a delivery when it is announced, and not again when it ends', async () => {
  const [worker] = boundary.workers;
  const hangs = await boundary.customer();
  const answers = await boundary.customer();
  boundary.answering(hangs, null);
  await boundary.publish(hangs, IN_FRONT);
  await worker.startPump({ concurrency: 64, concurrencyPerEndpoint: SLOTS_OF_ONE });
  await boundary.untilHits(hangs, SLOTS_OF_ONE);

  const claim = vi.spyOn(worker.queue, 'claim');
  const startedMs = performance.now();
  for (let n = 1; n <= BESIDE; n++) {
    await boundary.publish(answers);
    await boundary.untilCounts(answers, { delivered: n });
  }
  // One look more when the listener that has just connected asks what it may have missed.
  const others = 1 + Math.ceil((performance.now() - startedMs) / POLL_MS);
  expect(claim.mock.calls.length).toBeLessThanOrEqual(CLAIMS_A_LOOK * (BESIDE + others));
  expect(boundary.hitsOf(hangs)).toHaveLength(SLOTS_OF_ONE);
});
