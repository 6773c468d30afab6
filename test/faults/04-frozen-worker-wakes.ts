/**
 * A worker freezes (SIGSTOP) past its heartbeat, another takes its work over, and it wakes: its outcomes are recorded as
 * late and change nothing; no try is burnt; what it had only claimed it does not send.
 */
import type { FaultRow } from './fault-row.js';

const UNDER_WAY = 6;

export const row: FaultRow = {
  row: 4,
  name: 'frozen-worker-wakes',
  quick: false,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    // An attempt of each endpoint under way, and a second one claimed.
    const env = { WORKER_CONCURRENCY_PER_ENDPOINT: '1' };
    const urls = ['/slow/1500/a', '/slow/1500/b', '/slow/1500/c', '/slow/1500/d', '/hang/a', '/hang/b'];
    await context.subscribe(urls.map((path) => ({ url: receiver.url(path), timeoutSeconds: 2 })));
    const zombie = await context.startWorker({ env });
    const accepted = await context.publishMany(2);
    await receiver.waitFor(UNDER_WAY);
    process.kill(zombie.pid, 'SIGSTOP');
    const frozenAt = performance.now();
    const heir = await context.startWorker({ env });
    await receiver.waitFor(3 * UNDER_WAY, { timeoutMs: 40_000 });
    const takenOverMs = Math.round(performance.now() - frozenAt);
    await context.tables.until('SELECT count(*) = $1 AS ok, count(*)::int AS n FROM attempts', [
      2 * UNDER_WAY,
    ]);
    // The retries of the hanging ones are not to come before it has woken.
    await context.tables.rows(
      `UPDATE deliveries SET due_at = due_at + interval '1 hour' WHERE status = 'pending'`,
    );
    await context.tables.rows(
      `UPDATE pgboss.job SET start_after = start_after + interval '1 hour' WHERE name = 'deliver'`,
    );
    const state = `SELECT to_jsonb(d) || jsonb_build_object('attempts', null) AS d FROM deliveries d ORDER BY id`;
    const states = async (): Promise<string> =>
      JSON.stringify(
        (await context.tables.rows<{ d: Record<string, unknown> }>(state)).map(({ d }) => ({
          ...d,
          updated_at: null,
        })),
      );
    const before = await states();

    process.kill(zombie.pid, 'SIGCONT');
    const late = 'SELECT count(*) = $1 AS ok, count(*)::int AS n FROM attempts WHERE late';
    await context.tables.until(late, [UNDER_WAY]);
    await context.until(
      'the zombie has let go',
      async () => (await context.metric(zombie, 'posthorn_claimed')) === 0,
    );
    context.check((await states()) === before, 'the zombie changed a delivery');
    const byWhom = await context.tables.row<{ ok: boolean }>(
      `SELECT bool_and((split_part(worker, ':', 2)::int = $1) = late) AS ok FROM attempts`,
      [zombie.pid],
    );
    context.check(byWhom.ok, 'exactly the outcomes of the zombie are late');
    context.check(
      (await receiver.journal()).length === 3 * UNDER_WAY,
      'the zombie sent what it had only claimed',
    );
    const figures = await context.invariants({ accepted, unsettled: true, repeatsMax: UNDER_WAY });
    const lateOutcomes = await context.metric(zombie, 'posthorn_late_outcomes_total');
    await context.stop(heir);
    return { ...figures, takenOverMs, lateOutcomes, triesBurnt: 0 };
  },
};
