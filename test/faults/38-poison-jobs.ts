/** The queue holds jobs that nobody can make sense of, in front of good ones: the good ones are delivered at once. */
import { fromPublicId } from '@app/domain';
import type { FaultRow } from './fault-row.js';

const EVENTS = 30;
const FLOWS_MS_MAX = 5_000;

export const row: FaultRow = {
  row: 38,
  name: 'poison-jobs',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    await context.startApi();
    const [endpoint] = await context.subscribe([receiver.url('/ok')]);
    const known = fromPublicId('ep', endpoint)!;
    const poison: Record<string, [group: string | null, data: string]> = {
      unknownDelivery: [known, '{}'],
      unknownEndpoint: ['11111111-2222-4333-8444-555555555555', '{}'],
      garbageData: [known, '{"version":99,"x":[null]}'],
      garbageGroup: ['not an endpoint', '{}'],
      noGroup: [null, '{}'],
    };
    for (const [group, data] of Object.values(poison))
      await context.tables.rows(
        `INSERT INTO pgboss.job (id, name, data, group_id, priority) VALUES (gen_random_uuid(), 'deliver', $2::jsonb, $1, 0)`,
        [group, data],
      );
    const accepted = await context.publishMany(EVENTS);
    await context.startWorker();
    const startedAt = performance.now();
    await context.tables.until(
      `SELECT count(*) = $1 AS ok, count(*)::int AS delivered FROM deliveries WHERE status = 'delivered'`,
      [EVENTS],
    );
    const flowsMs = Math.round(performance.now() - startedAt);
    context.check(flowsMs < FLOWS_MS_MAX, `good deliveries took ${flowsMs} ms behind the poison`);
    await context.tables.until(
      `SELECT count(*) = 0 AS ok, min(group_id) AS group_id FROM pgboss.job WHERE name = 'deliver'`,
    );
    const figures = await context.invariants({ accepted });
    return { ...figures, poison: Object.keys(poison).length, flowsMs };
  },
};
