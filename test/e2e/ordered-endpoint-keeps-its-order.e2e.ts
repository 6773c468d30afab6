/**
 * Promise: an ordered endpoint gets the events of each ordering key in the order of acceptance, one at a time, with eight workers, a
 * receiver that fails at random, and workers that are killed.
 *
 *   0 s     300 events of six keys for an endpoint that fails every fifth request
 *   then    three times: kill -9 a worker in the middle of it; its turn is taken over when its claim has run out (12 to 16 s)
 *   always  within a key: no event succeeds before the one accepted before it, and no request begins while another event's request
 *           is unanswered, but for those that a kill cut
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { expectDoctorClean, openTables, tell, webhookIdOf, type Tables } from './e2e-fixture.js';

const WORKERS = 8;
const KEYS = 6;
const EVENTS = 300;
const KILLS = 3;
const ANSWER_MS = 20;
// With it the receiver never fails more than three times in a row: five would open the circuit, which is another test.
const SEED = 20;

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([
    startPosthorn({ workers: WORKERS }),
    startReceiver({ seed: SEED }),
  ]);
  tables = openTables(posthorn.databaseUrl);
});
afterAll(async () => {
  await tables.close();
  await posthorn.stop();
  await receiver.stop();
});

it('with eight workers, random failures and kills nothing is inverted and nothing overlaps', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  await client.createEndpoint('c', {
    url: receiver.url(`/flaky-slow/0.2/${ANSWER_MS}`),
    ordered: true,
    retryPolicy: { type: 'fixed', delaySeconds: 0, jitter: 'none', attemptsMax: 100 },
  });
  const events = Array.from({ length: EVENTS }, (_, n) => ({
    subscriber: 'c',
    type: 'thing.happened',
    data: { n },
    orderingKey: `k${n % KEYS}`,
  }));
  const startedAt = Date.now();
  const ids: string[] = [];
  for (let from = 0; from < EVENTS; from += 50) {
    const { results } = await client.post<{ results: { id: string }[] }>('/v1/events/batch', {
      events: events.slice(from, from + 50),
    });
    ids.push(...results.map(({ id }) => id));
  }
  const nth = new Map(ids.map((id, n) => [id, n]));

  const killedAt: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const seen = (await receiver.journal()).length;
    // A killed worker may have had the turns of all keys: then nothing comes until its claims have run out.
    await receiver.waitFor(seen + 20, { timeoutMs: 30_000 });
    await posthorn.workers[kill].stop('SIGKILL');
    killedAt.push(Date.now());
  }
  await tables.until(
    `SELECT count(*) FILTER (WHERE status = 'delivered') = ${EVENTS} AS ok FROM deliveries`,
    [],
    60_000,
  );
  const tookMs = Date.now() - startedAt;

  const journal = await receiver.journal();
  let failures = 0;
  let cut = 0;
  for (let key = 0; key < KEYS; key++) {
    const own = journal.filter((entry) => nth.get(webhookIdOf(entry))! % KEYS === key);
    const firstSuccess = new Map<number, number>();
    for (const entry of own) {
      const n = nth.get(webhookIdOf(entry))!;
      if (entry.answer !== '200') failures++;
      else if (!firstSuccess.has(n)) firstSuccess.set(n, entry.n);
    }
    const inOrder = [...firstSuccess].sort(([, a], [, b]) => a - b).map(([n]) => n);
    expect(inOrder).toEqual([...inOrder].sort((a, b) => a - b));
    expect(inOrder).toHaveLength(EVENTS / KEYS);
    cut += expectNoOverlap(own, nth, killedAt);
  }
  expect(failures).toBeGreaterThan(20);
  // By the transaction after the one that recorded the last success.
  await tables.until('SELECT count(*) = 0 AS ok FROM ordering_keys', [], 15_000);
  await expectDoctorClean(posthorn.databaseUrl);
  tell('ordered', { tookMs, requests: journal.length, failures, cutByKills: cut });
  expect(tookMs).toBeLessThan(75_000);
}, 120_000);

/** The receiver answers each request ANSWER_MS after its head. Answers how many requests of others a killed worker left open. */
function expectNoOverlap(own: JournalEntry[], nth: Map<string, number>, killedAt: number[]): number {
  const byStart = [...own].sort((a, b) => a.monotonicMs - b.monotonicMs);
  let cut = 0;
  for (const [at, entry] of byStart.entries()) {
    const before = byStart[at - 1];
    if (!before || entry.monotonicMs - before.monotonicMs >= ANSWER_MS - 1) continue;
    if (nth.get(webhookIdOf(before)) === nth.get(webhookIdOf(entry))) continue;
    const byKill = killedAt.some((ms) => ms >= before.epochMs && ms <= before.epochMs + ANSWER_MS + 50);
    const [first, second] = [before, entry].map((each) => nth.get(webhookIdOf(each)));
    expect(byKill, `${second} began while ${first} was unanswered`).toBe(true);
    cut++;
  }
  return cut;
}
