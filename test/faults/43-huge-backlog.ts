/**
 * A million deliveries wait for an endpoint that is dead: who shares the database and the worker with it is served as
 * before, and a claim looks at as many pages as before.
 *
 * Some thousand of them are published; the others are laid in by SQL exactly as T1 writes deliveries of a lane that is full:
 * held, without a ticket, counted in the lane. A million by the API would take most of this suite's time.
 */
import { fromPublicId } from '@app/domain';
import { claimCost } from './claim-cost.js';
import type { FaultContext } from './fault-context.js';
import type { FaultRow } from './fault-row.js';
import { freePort } from './hostile-server.js';
import type { RunningProcess } from '../support/processes.js';
import { checkDrains, checkJourneys, Traffic } from './traffic.js';

const PUBLISHED = 2_000;
const INSERTED_AT_ONCE = 100_000;
// A page of an index more, for its greater depth, and some for what others' transactions left behind.
const CLAIM_PAGES_RATIO_MAX = 1.5;

export const row: FaultRow = {
  row: 43,
  name: 'huge-backlog',
  quick: 'short',
  alone: true,
  timeoutSeconds: 300,
  async run(context) {
    const size = context.quick
      ? { backlog: 20_000, events: 3_000, rounds: 2, perSecond: 60, seconds: 3 }
      : { backlog: 1_000_000, events: 6_000, rounds: 3, perSecond: 100, seconds: 20 };
    const api = await context.startApi();
    const traffic = await Traffic.start(context, { subscribers: 10 });
    const [dead] = await context.subscribe([`http://127.0.0.1:${await freePort()}/`], 'dead');

    let worker: RunningProcess | undefined;
    const undisturbed = await measure();
    const accepted = await context.publishMany(PUBLISHED, 'dead');
    await layIn(context, fromPublicId('ep', dead)!, size.backlog - PUBLISHED);
    const disturbed = await measure();

    const backlog = await context.tables.row<{ pending: number; attempts: number }>(
      `SELECT count(*)::int AS pending, coalesce(sum(attempts), 0)::int AS attempts FROM deliveries
        WHERE endpoint_id = $1 AND status = 'pending'`,
      [fromPublicId('ep', dead)],
    );
    context.check(backlog.pending === size.backlog, 'the backlog is still there, whole', backlog);
    context.check(
      disturbed.claim.pages <= undisturbed.claim.pages * CLAIM_PAGES_RATIO_MAX,
      `a claim looked at ${undisturbed.claim.pages} pages without the backlog and at ${disturbed.claim.pages} with it`,
    );
    const drainRatio = checkDrains(context, undisturbed.drains, disturbed.drains);
    checkJourneys(context, undisturbed.journeys, disturbed.journeys);
    const figures = await context.invariants({
      accepted: [...accepted, ...traffic.accepted],
      unsettled: true,
    });
    return {
      ...figures,
      backlog: size.backlog,
      attemptsOfBacklog: backlog.attempts,
      undisturbedP99Ms: undisturbed.journeys.typicalP99Ms,
      disturbedP99Ms: disturbed.journeys.typicalP99Ms,
      disturbedMsMax: disturbed.journeys.maxMs,
      undisturbedPerSecond: Math.max(...undisturbed.drains),
      disturbedPerSecond: Math.max(...disturbed.drains),
      drainRatio,
      claimPagesBefore: undisturbed.claim.pages,
      claimPages: disturbed.claim.pages,
      claimMsBefore: undisturbed.claim.ms,
      claimMs: disturbed.claim.ms,
    };

    /** Some drains, each by a worker that is just starting, then some seconds of events that come one by one. */
    async function measure() {
      const drains: number[] = [];
      let claim = { pages: 0, ms: 0 };
      for (let round = 0; round < size.rounds; round++) {
        if (worker) await context.stop(worker);
        const drained = traffic.drain(api, size.events, async () => {
          claim = await claimCost(context);
          worker = await context.startWorker();
        });
        drains.push(await drained);
      }
      const journeys = await traffic.paced(api, size.perSecond, size.seconds);
      return { drains, claim, journeys };
    }
  },
};

/** So many more of one that waits, with ids of now; then what a server does in its own time anyway, so that it is not measured. */
async function layIn(context: FaultContext, endpointId: string, count: number): Promise<void> {
  const { tables } = context;
  const id = (salt: number) =>
    `(left(posthorn_uuid_floor(now())::text, 14) || '7' || lpad(to_hex(n >> 20), 3, '0') || '-8${salt}' || right(gen_random_uuid()::text, 15))::uuid`;
  for (let from = 0; from < count; from += INSERTED_AT_ONCE)
    await tables.rows(
      `WITH example AS (SELECT d.subscriber_id, e.type, e.version, e.data FROM deliveries d JOIN events e ON e.id = d.event_id
                         WHERE d.endpoint_id = $1 AND d.place = 'held' LIMIT 1),
            new AS (SELECT n, ${id(1)} AS event_id, ${id(2)} AS id FROM generate_series($2::int + 1, $3::int) n),
            lane AS (UPDATE lanes SET held = held + $3::int - $2::int, accepted = accepted + $3::int - $2::int
                      WHERE endpoint_id = $1 RETURNING accepted - $3::int AS accepted),
            events_of AS (
              INSERT INTO events (id, subscriber_id, type, version, data, matched, occurred_at)
              SELECT event_id, subscriber_id, type, version, data, 1, now() FROM new, example)
       INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, trigger, seq, status, place, due_at)
       SELECT new.id, x.subscriber_id, new.event_id, $1, x.type, 'event', lane.accepted + new.n, 'pending', 'held', now()
         FROM new, example x, lane`,
      [endpointId, from, Math.min(count, from + INSERTED_AT_ONCE)],
    );
  await tables.rows('VACUUM (ANALYZE) deliveries');
  await tables.rows('VACUUM (ANALYZE) events');
  await tables.rows('CHECKPOINT');
}
