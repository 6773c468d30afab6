/**
 * Promise: a worker that freezes over its heartbeat and wakes changes nothing: its outcomes are recorded as late
 * attempts, burn no try and move no delivery.
 *
 *   0 s      A has two attempts under way: one endpoint answers after 3 s, one hangs (both have 5 s); SIGSTOP A
 *   ~12 s    B takes both over: delivers the one, sees the other time out, whose retry then waits
 *   ~22 s    SIGCONT A: both of its outcomes are late
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPosthorn, type Posthorn } from '../support/processes.js';
import { startReceiver, type Receiver } from '../support/receiver/receiver.js';
import { expectDoctorClean, expectEqualRepeats, openTables, tell, type Tables } from './e2e-fixture.js';

let posthorn: Posthorn;
let receiver: Receiver;
let tables: Tables;

beforeAll(async () => {
  [posthorn, receiver] = await Promise.all([startPosthorn(), startReceiver()]);
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
  for (const path of ['/slow/3000', '/hang'])
    await client.createEndpoint('c', { url: receiver.url(path), timeoutSeconds: 5 });
  await client.publish({ subscriber: 'c', type: 'thing.happened', data: { n: 1 } });
  await receiver.waitFor(2);
  const [frozen] = posthorn.workers;
  process.kill(frozen.pid, 'SIGSTOP');
  const frozenAt = Date.now();
  const other = await posthorn.startWorker();

  const journal = await receiver.waitFor(4, { timeoutMs: 30_000 });
  await tables.until(`SELECT count(*) = 2 AS ok FROM attempts`);
  tell('taken over from a frozen worker', { ms: journal[2].epochMs - frozenAt });
  // Long enough for the late outcomes to come before the retry does.
  await tables.rows(`UPDATE deliveries SET due_at = due_at + interval '1 hour' WHERE status = 'pending'`);
  await tables.rows(
    `UPDATE pgboss.job SET start_after = start_after + interval '1 hour' WHERE name = 'deliver'`,
  );
  const state = `SELECT d.status, d.place, d.tries, d.ticket, d.due_at, d.trigger, d.failure, d.status_code, d.finished_at,
                        (SELECT count(*)::int FROM pgboss.job j WHERE j.name = 'deliver' AND j.id = d.id) AS tickets
                   FROM deliveries d ORDER BY d.status`;
  const before = await tables.rows(state);
  expect(before).toMatchObject([
    { status: 'delivered', tries: 1, tickets: 0 },
    { status: 'pending', place: 'waiting', tries: 1, failure: 'response_timeout', tickets: 1 },
  ]);

  wake(frozen.pid);
  await tables.until(`SELECT count(*) = 4 AS ok FROM attempts`);
  expect(await tables.rows(state)).toEqual(before);
  expect(await tables.rows(`SELECT DISTINCT attempts FROM deliveries`)).toEqual([{ attempts: 2 }]);
  expect(
    await tables.rows(`SELECT n, late, split_part(worker, ':', 2)::int AS pid FROM attempts ORDER BY n, pid`),
  ).toEqual([
    { n: 1, late: false, pid: other.pid },
    { n: 1, late: false, pid: other.pid },
    { n: 2, late: true, pid: frozen.pid },
    { n: 2, late: true, pid: frozen.pid },
  ]);
  expect(expectEqualRepeats(journal)).toHaveLength(2);
  const metrics = await (await fetch(`${frozen.url}/metrics`)).text();
  expect(metrics).toMatch(/late_outcomes_total 2$/m);
  await expectDoctorClean(posthorn.databaseUrl);
}, 60_000);

function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}
