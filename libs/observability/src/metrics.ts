import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30];
const GROUP_SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/** The metrics of one process. The table in this lib's README lists them all; a test compares the two. */
export class Metrics {
  readonly registry = new Registry();
  private readonly on = { registers: [this.registry] };

  readonly eventsAccepted = new Counter({
    ...this.on,
    name: 'posthorn_events_accepted_total',
    help: 'Events answered 202',
  });
  readonly eventsRefused = new Counter({
    ...this.on,
    name: 'posthorn_events_refused_total',
    help: 'Events of publish requests that were refused, by code',
    labelNames: ['code'],
  });
  readonly acceptSeconds = new Histogram({
    ...this.on,
    name: 'posthorn_accept_seconds',
    help: 'From request to commit of T1',
    buckets: SECONDS,
  });
  readonly acceptGroupSize = new Histogram({
    ...this.on,
    name: 'posthorn_accept_group_size',
    help: 'Events per T1',
    buckets: GROUP_SIZES,
  });
  readonly requestSeconds = new Histogram({
    ...this.on,
    name: 'posthorn_http_request_seconds',
    help: 'Answers of the api',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
  });
  readonly connectionsRefused = new Counter({
    ...this.on,
    name: 'posthorn_connections_refused_total',
    help: 'Connections cut before there was a request: too slow, too large, no HTTP',
    labelNames: ['code'],
  });
  readonly requestsLimited = new Counter({
    ...this.on,
    name: 'posthorn_requests_limited_total',
    help: 'Requests answered 429',
    labelNames: ['policy'],
  });
  readonly requestsUncounted = new Counter({
    ...this.on,
    name: 'posthorn_requests_uncounted_total',
    help: 'Requests let in uncounted because the database did not answer: should stay 0',
  });
  readonly attempts = new Counter({
    ...this.on,
    name: 'posthorn_attempts_total',
    help: 'Attempts by outcome',
    labelNames: ['status', 'failure'],
  });
  readonly attemptSeconds = new Histogram({
    ...this.on,
    name: 'posthorn_attempt_seconds',
    help: 'Duration of attempts',
    buckets: SECONDS,
  });
  readonly dueAgeSeconds = new Histogram({
    ...this.on,
    name: 'posthorn_due_age_seconds',
    help: 'From due to request',
    buckets: SECONDS,
  });
  readonly inFlight = new Gauge({ ...this.on, name: 'posthorn_in_flight', help: 'Requests under way' });
  readonly claimed = new Gauge({
    ...this.on,
    name: 'posthorn_claimed',
    help: 'Tickets claimed by this worker, under way or waiting for a slot',
  });
  readonly recordGroupSize = new Histogram({
    ...this.on,
    name: 'posthorn_record_group_size',
    help: 'Outcomes per T2',
    buckets: GROUP_SIZES,
  });
  readonly recordSeconds = new Histogram({
    ...this.on,
    name: 'posthorn_record_seconds',
    help: 'Duration of T2',
    buckets: SECONDS,
  });
  readonly lateOutcomes = new Counter({
    ...this.on,
    name: 'posthorn_late_outcomes_total',
    help: 'Outcomes whose claim was lost',
  });
  readonly lanesReconciled = new Counter({
    ...this.on,
    name: 'posthorn_lanes_reconciled_total',
    help: 'Lanes whose counts were corrected: should stay 0',
  });
  readonly ticketsRestored = new Counter({
    ...this.on,
    name: 'posthorn_tickets_restored_total',
    help: 'Pending deliveries found without ticket or held mark: should stay 0',
  });
  readonly orderingKeysFreed = new Counter({
    ...this.on,
    name: 'posthorn_ordering_keys_freed_total',
    help: 'Ordering keys found waiting for a delivery that had ended: should stay 0',
  });
  readonly laneTransitions = new Counter({
    ...this.on,
    name: 'posthorn_lane_transitions_total',
    help: 'Circuits opened, probed and closed, warnings, disabled endpoints, lowered rates',
    labelNames: ['kind'],
  });
  readonly noticesPublished = new Counter({
    ...this.on,
    name: 'posthorn_notices_published_total',
    help: 'Events about failures, for onFailure endpoints and the operator',
    labelNames: ['type'],
  });
  readonly clockSkewSeconds = new Gauge({
    ...this.on,
    name: 'posthorn_clock_skew_seconds',
    help: 'This machine’s clock minus the database’s: should be near 0',
  });
  readonly circuitsOpen = new Gauge({
    ...this.on,
    name: 'posthorn_circuits_open',
    help: 'Endpoints whose circuit is open or being probed',
  });
  readonly deliveriesHeld = new Gauge({
    ...this.on,
    name: 'posthorn_deliveries_held',
    help: 'Deliveries held by their lanes',
  });
  readonly deliveriesQueued = new Gauge({
    ...this.on,
    name: 'posthorn_deliveries_queued',
    help: 'Deliveries with a place in their lane',
  });
  readonly deliveriesPending = new Gauge({
    ...this.on,
    name: 'posthorn_deliveries_pending',
    help: 'Deliveries that have not ended, as this api goes by it',
  });
  readonly oldestDueSeconds = new Gauge({
    ...this.on,
    name: 'posthorn_oldest_due_seconds',
    help: 'Age of the oldest due ticket',
  });
  readonly defaultPartitionRows = new Gauge({
    ...this.on,
    name: 'posthorn_default_partition_rows',
    help: 'Rows whose id came from a wrong clock: should be 0',
  });
  readonly maintenanceFailures = new Counter({
    ...this.on,
    name: 'posthorn_maintenance_failures_total',
    help: 'Rounds of a loop that failed',
    labelNames: ['loop'],
  });

  constructor() {
    // Event-loop lag, memory, CPU, handles of the process.
    collectDefaultMetrics({ register: this.registry });
  }
}
