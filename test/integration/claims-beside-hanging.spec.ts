/**
 * Real: PostgreSQL, HTTP on loopback, accept, pump and record in this process. An endpoint hangs and has more in the queue than it may
 * start. Each delivery beside it costs the claims that announced it, not one more for each of its steps, and few of them step over
 * all that hangs: the next delivery would wait for it. What comes into the queue behind their back is found all the same.
 */
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { Boundary, type Customer } from './boundary-fixture.js';

const SLOTS_OF_ONE = 8;
const IN_FRONT = 60;
const BESIDE = 30;
// When the listener that has just connected asks what it may have missed, of first attempts and of retries.
const CLAIMS_FIRST = 4;
const LOOKS_EVERY_MS = 250;

let boundary: Boundary;
let hangs: Customer;
let answers: Customer;
let delivered = 0;
beforeAll(async () => {
  boundary = await Boundary.open({ still: true });
  hangs = await boundary.customer();
  answers = await boundary.customer();
  boundary.answering(hangs, null);
  await boundary.publish(hangs, IN_FRONT);
  // No poll finds what is told by nobody.
  vi.useFakeTimers({ toFake: ['setInterval'] });
  await boundary.workers[0].startPump({ concurrency: 64, concurrencyPerEndpoint: SLOTS_OF_ONE });
  vi.useRealTimers();
  await boundary.untilHits(hangs, SLOTS_OF_ONE);
});
afterAll(() => boundary.close());
afterEach(() => vi.restoreAllMocks());

async function deliverOne(): Promise<void> {
  await boundary.publish(answers);
  await boundary.untilCounts(answers, { delivered: ++delivered });
}

it('claims for a delivery when it is announced, and not again when it ends', async () => {
  const claim = vi.spyOn(boundary.workers[0].queue, 'claim');
  const startedMs = performance.now();
  while (delivered < BESIDE) await deliverOne();
  const looks = Math.ceil((performance.now() - startedMs) / LOOKS_EVERY_MS);
  expect(claim.mock.calls.length).toBeLessThanOrEqual(CLAIMS_FIRST + BESIDE + looks);
  expect(boundary.hitsOf(hangs)).toHaveLength(SLOTS_OF_ONE);
});

it('steps over what hangs four times a second, and finds what a slow commit brought in front of the rest', async () => {
  const { database, workers } = boundary;
  const late = await boundary.customer();
  const [locked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const lock = database.transaction(async (tx) => {
    await tx.query('SELECT 1 FROM lanes WHERE endpoint_id = $1 FOR UPDATE', [late.endpointId]);
    locked.resolve();
    await release.promise;
  });
  await locked.promise;
  const published = boundary.publish(late);
  const claim = vi.spyOn(workers[0].queue, 'claim');
  const startedMs = performance.now();
  while (performance.now() - startedMs < 4 * LOOKS_EVERY_MS) await deliverOne();
  const since = claim.mock.calls.flatMap(([, , of]) => (of?.priorityMin === 1 ? [of.since] : []));
  expect(since.length).toBeGreaterThan(20);
  const looks = since.filter((each) => !each).length;
  expect(looks).toBeLessThanOrEqual(2 + (performance.now() - startedMs) / LOOKS_EVERY_MS);
  release.resolve();
  await Promise.all([lock, published]);
  await boundary.untilCounts(late, { delivered: 1 }, 3000);
});
