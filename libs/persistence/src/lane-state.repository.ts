import { DELIVER_QUEUE } from '@app/contracts';
import { OPEN_MAX_MS, type LanePolicy, type LaneState, type LaneTransition } from '@app/domain';
import type { Database, Tx } from './database.js';

/** A lane whose row is locked, with what its endpoint asks of it. */
export interface LockedLane {
  endpointId: string;
  subscriberId: string;
  state: LaneState;
  policy: LanePolicy;
  /** The most that its window may grow to. */
  windowMax: number;
  paused: boolean;
  held: number;
  /** On the database's clock. */
  now: Date;
}

export interface NewLaneTransition {
  id: string;
  subscriberId: string;
  endpointId: string;
  at: Date;
  transition: LaneTransition;
}

interface LaneRow {
  endpoint_id: string;
  subscriber_id: string;
  window_size: number;
  window_max: number;
  circuit: LaneState['circuit'];
  trips: number;
  opened_at: Date | null;
  open_until: Date | null;
  closed_at: Date | null;
  probe_id: string | null;
  consecutive_failures: number;
  sample_at: Date | null;
  sample_attempts: number;
  sample_failures: number;
  sample_timeouts: number;
  previous_attempts: number;
  previous_failures: number;
  previous_timeouts: number;
  failing_since: Date | null;
  failing_attempts: number;
  warned_percent: 0 | 50 | 75 | 100;
  rate_factor: number;
  rate_reduced_at: Date | null;
  paused: boolean;
  held: number;
  disable_after_seconds: number | null;
  disable_attempts_min: number;
  adaptive: boolean;
  now: Date;
}

// A probe that has had its outcome is for whoever recorded it to tell, right after. One who died in between never does, and its
// retry may be a day away; but when that has come and a worker is at it, it is a probe again.
const IS_ON_ITS_WAY = `(d.status = 'pending' AND d.place = 'queued'
  OR d.status = 'pending' AND EXISTS (
       SELECT 1 FROM pgboss.job j WHERE j.name = '${DELIVER_QUEUE}' AND j.id = d.id AND j.state = 'active')
  OR d.status <> 'cancelled' AND d.place IS DISTINCT FROM 'held' AND d.updated_at > now() - interval '10 seconds')`;

/** What the lanes' state machine (domain, lane.ts) reads and writes. */
export const laneStateRepository = {
  /** Locks these lanes in order of endpoint. */
  async lock(tx: Tx, endpointIds: string[]): Promise<LockedLane[]> {
    const rows = await tx.prepared<LaneRow>(
      'lane_state_lock',
      `SELECT l.endpoint_id, l.subscriber_id, l.window_size, l.window_max, l.circuit, l.trips, l.opened_at, l.open_until, l.closed_at,
              l.probe_id, l.consecutive_failures, l.sample_at, l.sample_attempts, l.sample_failures, l.sample_timeouts,
              l.previous_attempts, l.previous_failures, l.previous_timeouts, l.failing_since, l.failing_attempts,
              l.warned_percent, l.rate_factor, l.rate_reduced_at, l.paused_at IS NOT NULL AS paused, l.held,
              e.disable_after_seconds, e.disable_attempts_min, coalesce((e.rate_limit ->> 'adaptive')::bool, false) AS adaptive,
              now() AS now
         FROM lanes l JOIN endpoints e ON e.id = l.endpoint_id AND e.subscriber_id = l.subscriber_id
        WHERE l.endpoint_id = ANY($1::uuid[]) ORDER BY l.endpoint_id FOR UPDATE OF l`,
      [endpointIds],
    );
    return rows.map((row) => ({
      endpointId: row.endpoint_id,
      subscriberId: row.subscriber_id,
      state: stateOf(row),
      policy: {
        autoDisable:
          row.disable_after_seconds === null
            ? null
            : { afterSeconds: row.disable_after_seconds, attemptsMin: row.disable_attempts_min },
        adaptiveRate: row.adaptive,
      },
      windowMax: row.window_max,
      paused: row.paused,
      held: row.held,
      now: row.now,
    }));
  },

  /** Locks lanes for statements that follow, in order of endpoint. */
  async lockAll(tx: Tx, endpointIds: string[]): Promise<void> {
    if (endpointIds.length === 0) return;
    await tx.query(
      'SELECT 1 FROM lanes WHERE endpoint_id = ANY($1::uuid[]) ORDER BY endpoint_id FOR UPDATE',
      [endpointIds],
    );
  },

  /** Writes the states of locked lanes. */
  async write(tx: Tx, lanes: Pick<LockedLane, 'endpointId' | 'state' | 'windowMax'>[]): Promise<void> {
    const states = lanes.map(({ state }) => state);
    await tx.prepared(
      'lane_state_write',
      `UPDATE lanes l SET window_size = s.window_size, circuit = s.circuit, trips = s.trips, opened_at = s.opened_at,
              open_until = s.open_until, closed_at = s.closed_at, probe_id = s.probe_id,
              consecutive_failures = s.consecutive_failures, sample_at = s.sample_at, sample_attempts = s.sample[1],
              sample_failures = s.sample[2], sample_timeouts = s.sample[3], previous_attempts = s.sample[4],
              previous_failures = s.sample[5], previous_timeouts = s.sample[6], failing_since = s.failing_since,
              failing_attempts = s.failing_attempts, warned_percent = s.warned_percent, rate_factor = s.rate_factor,
              rate_reduced_at = s.rate_reduced_at
         FROM (SELECT i.*, ARRAY[a1, a2, a3, a4, a5, a6] AS sample
                 FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
                      $8::uuid[], $9::int[], $10::timestamptz[], $11::int[], $12::int[], $13::int[], $14::int[], $15::int[],
                      $16::int[], $17::timestamptz[], $18::int[], $19::int[], $20::real[], $21::timestamptz[])
                   AS i (endpoint_id, window_size, circuit, trips, opened_at, open_until, closed_at, probe_id, consecutive_failures,
                         sample_at, a1, a2, a3, a4, a5, a6, failing_since, failing_attempts, warned_percent, rate_factor,
                         rate_reduced_at)) s
        WHERE l.endpoint_id = s.endpoint_id`,
      [
        lanes.map(({ endpointId }) => endpointId),
        lanes.map(({ state, windowMax }) => Math.min(state.window, windowMax)),
        states.map((s) => s.circuit),
        states.map((s) => s.trips),
        states.map((s) => s.openedAt),
        states.map((s) => (s.circuit === 'open' ? s.openUntil : null)),
        states.map((s) => s.closedAt),
        states.map((s) => s.probeId),
        states.map((s) => s.consecutiveFailures),
        states.map((s) => s.sampleAt),
        states.map((s) => s.sample.attempts),
        states.map((s) => s.sample.failures),
        states.map((s) => s.sample.timeouts),
        states.map((s) => s.previousSample.attempts),
        states.map((s) => s.previousSample.failures),
        states.map((s) => s.previousSample.timeouts),
        states.map((s) => s.failingSince),
        states.map((s) => s.failingAttempts),
        states.map((s) => s.warnedPercent),
        states.map((s) => s.rateFactor),
        states.map((s) => s.rateReducedAt),
      ],
    );
  },

  async addTransitions(tx: Tx, transitions: NewLaneTransition[]): Promise<void> {
    if (transitions.length === 0) return;
    await tx.prepared(
      'lane_transitions_add',
      `INSERT INTO lane_transitions (id, subscriber_id, endpoint_id, at, kind, detail)
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::jsonb[])`,
      [
        transitions.map((t) => t.id),
        transitions.map((t) => t.subscriberId),
        transitions.map((t) => t.endpointId),
        transitions.map((t) => t.at),
        transitions.map((t) => t.transition.kind),
        transitions.map(({ transition }) => JSON.stringify({ ...transition, kind: undefined })),
      ],
    );
  },

  /**
   * Circuits whose time to try has come and that hold something to try with; and those whose probe got lost; `max` of each at most. Asked twice a second: without
   * a probe under way no statement says `deliveries`, which would be planned for every day that there is (26 ms with forty).
   */
  async findProbes(database: Database, max: number): Promise<string[]> {
    const [{ due, probing }] = await database.query<{ due: string[]; probing: boolean }>(
      `SELECT array(SELECT endpoint_id FROM lanes
                     WHERE circuit = 'open' AND (open_until <= now() OR open_until > now() + make_interval(secs => $2))
                           AND held > 0 AND paused_at IS NULL ORDER BY open_until LIMIT $1) AS due,
              EXISTS (SELECT 1 FROM lanes WHERE circuit = 'half_open') AS probing`,
      [max, OPEN_MAX_MS / 1000],
    );
    return probing ? [...due, ...(await this.findLostProbes(database, max))] : due;
  },

  async findLostProbes(database: Database, max: number): Promise<string[]> {
    const rows = await database.query<{ endpoint_id: string }>(
      `SELECT l.endpoint_id FROM lanes l
        WHERE l.circuit = 'half_open' AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = l.probe_id AND ${IS_ON_ITS_WAY})
        ORDER BY l.open_until LIMIT $1`,
      [max],
    );
    return rows.map((row) => row.endpoint_id);
  },

  /** Whether this locked lane's probe is still to have an outcome, or whoever recorded it is about to tell the lane. */
  async hasProbe(tx: Tx, probeId: string): Promise<boolean> {
    const rows = await tx.query(
      `SELECT 1 FROM deliveries d WHERE d.id = ANY($1::uuid[]) AND ${IS_ON_ITS_WAY}`,
      [[probeId]],
    );
    return rows.length > 0;
  },

  /** Lets open circuits of these endpoints try at once: somebody has reason to think that it works again. If not, they stay open no longer than before. */
  async probeSoon(tx: Tx, endpointIds: string[]): Promise<void> {
    await tx.query(
      `WITH locked AS (
         SELECT endpoint_id FROM lanes WHERE endpoint_id = ANY($1::uuid[]) AND circuit = 'open' AND open_until > now()
          ORDER BY endpoint_id FOR UPDATE)
       UPDATE lanes l SET open_until = now(), trips = greatest(l.trips - 1, 0) FROM locked k WHERE l.endpoint_id = k.endpoint_id`,
      [endpointIds],
    );
  },

  /** Forgets transitions older than so many days, a bounded number at a time. */
  async deleteOldTransitions(database: Database, days: number, max: number): Promise<number> {
    const rows = await database.query(
      `DELETE FROM lane_transitions WHERE (id, subscriber_id) IN (
         SELECT id, subscriber_id FROM lane_transitions WHERE id < posthorn_uuid_floor(now() - make_interval(days => $1)) LIMIT $2)
       RETURNING 1 AS one`,
      [days, max],
    );
    return rows.length;
  },
};

function stateOf(row: LaneRow): LaneState {
  return {
    window: row.window_size,
    circuit: row.circuit,
    trips: row.trips,
    openedAt: row.opened_at,
    openUntil: row.open_until,
    closedAt: row.closed_at,
    probeId: row.probe_id,
    consecutiveFailures: row.consecutive_failures,
    sampleAt: row.sample_at,
    sample: { attempts: row.sample_attempts, failures: row.sample_failures, timeouts: row.sample_timeouts },
    previousSample: {
      attempts: row.previous_attempts,
      failures: row.previous_failures,
      timeouts: row.previous_timeouts,
    },
    failingSince: row.failing_since,
    failingAttempts: row.failing_attempts,
    warnedPercent: row.warned_percent,
    rateFactor: row.rate_factor,
    rateReducedAt: row.rate_reduced_at,
  };
}
