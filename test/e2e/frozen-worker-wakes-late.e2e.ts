/**
 * Promise: a worker that freezes over its heartbeat and wakes changes nothing: what it had under way is recorded as late
 * attempts that burn no try and move no delivery, and what it had only claimed it does not send.
 *
 *   0 s      A has one attempt under way to each of two endpoints (one answers after 3 s, one hangs; both have 4 s) and
 *            one more claimed for each; SIGSTOP A
 *   ~13 s    B takes all four over: delivers two, sees two time out, whose retries then wait
 *   ~18 s    SIGCONT A: both of its outcomes are late, and its other two claims are no longer its own
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import {
  expectDoctorClean,
  expectEqualRepeats,
  openTables,
  publishMany,
  tell,
  type Tables,
} from './e2e-fixture.js';

// The first of two that hang is to be tried again long after the second has timed out, and the frozen worker has woken.
const LATER = { type: 'fixed', delaySeconds: 3600, jitter: 'none', attemptsMax: 3 };

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  const env = { WORKER_CONCURRENCY_PER_ENDPOINT: '1' };
  [posthorn, receiver] = await Promise.all([startPosthorn({ env }), startReceiver()]);
  tables = openTables(posthorn.databaseUrl);
});
afterAll(async () => {
  for (const worker of posthorn.workers) wake(worker.pid);
  await tables.close();
  await posthorn.stop();
  await receiver.stop();
});

it('outcomes of a worker that froze are late: recorded, and nothing else', async () => {
  const { client } = posthorn;
  await client.createSubscriber({ name: 'c', externalId: 'c' });
  await client.createEventType('thing.happened');
  // Long enough to freeze the worker in the middle of it, on a busy machine too.
  for (const path of ['/slow/3000', '/hang'])
    await client.createEndpoint('c', { url: receiver.url(path), timeoutSeconds: 4, retryPolicy: LATER });
  await publishMany(client, 'c', 2);
  await receiver.waitFor(2);
  const [frozen] = posthorn.workers;
  process.kill(frozen.pid, 'SIGSTOP');
  const frozenAt = Date.now();
  expect(await tables.row(`SELECT count(*)::int AS n FROM pgboss.job WHERE state = 'active'`)).toEqual({
    n: 4,
  });
  const other = await posthorn.startWorker();

  const journal = await receiver.waitFor(6, { timeoutMs: 30_000 });
  await tables.until(`SELECT count(*) = 4 AS ok FROM attempts`);
  tell('taken over from a frozen worker', { ms: journal[2].epochMs - frozenAt });
  const state = `SELECT d.status, d.place, d.tries, d.ticket, d.due_at, d.trigger, d.failure, d.status_code, d.finished_at,
                        (SELECT count(*)::int FROM pgboss.job j WHERE j.name = 'deliver' AND j.id = d.id) AS tickets
                   FROM deliveries d ORDER BY d.status, d.id`;
  const before = await tables.rows(state);
  const delivered = { status: 'delivered', tries: 1, tickets: 0 };
  const waits = { status: 'pending', place: 'waiting', tries: 1, failure: 'response_timeout', tickets: 1 };
  expect(before).toMatchObject([delivered, delivered, waits, waits]);

  wake(frozen.pid);
  await tables.until(`SELECT count(*) = 6 AS ok FROM attempts`);
  await expect.poll(() => metric(frozen.url, 'posthorn_claimed')).toBe(0);
  expect(await tables.rows(state)).toEqual(before);
  expect(
    await tables.rows(
      `SELECT n, late, split_part(worker, ':', 2)::int AS pid FROM attempts ORDER BY late, n`,
    ),
  ).toEqual([
    ...Array.from({ length: 4 }, () => ({ n: 1, late: false, pid: other.pid })),
    ...Array.from({ length: 2 }, () => ({ n: 2, late: true, pid: frozen.pid })),
  ]);
  expect(await metric(frozen.url, 'posthorn_late_outcomes_total')).toBe(2);
  expect(await receiver.journal()).toHaveLength(6);
  expect(expectEqualRepeats(journal)).toHaveLength(2);
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
}

function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}
