/** The api dies inside T1, with events, deliveries and tickets sent and no COMMIT: nothing is there; asked again, all is. */
import type { FaultRow } from './fault-row.js';

const ENDPOINTS = 5;

export const row: FaultRow = {
  row: 8,
  name: 'api-dies-mid-fan-out',
  quick: true,
  async run(context) {
    const receiver = await context.startReceiver();
    // It counts T1s: what the subscriber and his endpoints are made by is none.
    const doomed = await context.startApi({ failpoint: 'mid-fanout' });
    await context.subscribe(Array.from({ length: ENDPOINTS }, (_, n) => receiver.url(`/ok/${n}`)));
    await context.startWorker();
    const publish = () =>
      context.client.request<{ id: string }>(
        'POST',
        '/v1/events',
        { subscriber: 'c', type: 'thing.happened', data: {} },
        { 'idempotency-key': 'one' },
      );
    const unanswered = await publish().catch(() => null);
    context.check(unanswered === null, 'the api died before it answered', unanswered);
    await doomed.exited;
    await context.tables.until(
      `SELECT count(*) = 0 AS ok FROM pg_stat_activity WHERE application_name = 'posthorn-api' AND datname = current_database()`,
    );
    const left = await context.tables.row<{
      events: number;
      deliveries: number;
      tickets: number;
      keys: number;
    }>(
      `SELECT (SELECT count(*)::int FROM events) AS events, (SELECT count(*)::int FROM deliveries) AS deliveries,
              (SELECT count(*)::int FROM pgboss.job WHERE name = 'deliver') AS tickets, (SELECT count(*)::int FROM idempotency_keys) AS keys`,
    );
    context.check(
      Object.values(left).every((count) => count === 0),
      'half a fan-out was left',
      left,
    );

    await context.startApi();
    const { status, body } = await publish();
    context.check(status === 202, 'asked again it is accepted', status);
    await context.settled();
    const figures = await context.invariants({ accepted: [body.id] });
    context.check(
      figures.deliveries === ENDPOINTS && figures.requests === ENDPOINTS,
      'one for each endpoint',
      figures,
    );
    return figures;
  },
};
