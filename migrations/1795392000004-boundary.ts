import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The boundary: what an endpoint may ask of its sender (policies), what its lane remembers (window, circuit, failing
 * since), order, rate slots, and what is to be told about failures.
 */
export class Boundary1795392000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE endpoints
        ADD retry_policy          jsonb CHECK (jsonb_typeof(retry_policy) = 'object'),
        ADD rate_limit            jsonb CHECK (jsonb_typeof(rate_limit) = 'object'),
        ADD retry_budget_percent  smallint NOT NULL DEFAULT 100 CHECK (retry_budget_percent BETWEEN 1 AND 100),
        ADD ordered               boolean NOT NULL DEFAULT false,
        ADD ordered_failure       text NOT NULL DEFAULT 'block' CHECK (ordered_failure IN ('block', 'skip')),
        ADD on_failure_endpoint_id uuid,
        ADD disable_after_seconds integer DEFAULT 432000 CHECK (disable_after_seconds > 0),
        ADD disable_attempts_min  integer NOT NULL DEFAULT 20 CHECK (disable_attempts_min > 0),
        ADD FOREIGN KEY (on_failure_endpoint_id, subscriber_id) REFERENCES endpoints (id, subscriber_id);
      ALTER TABLE event_types ADD retry_policy jsonb CHECK (jsonb_typeof(retry_policy) = 'object');

      -- Circuits and windows, so that all workers agree. An old row's window stays what it was.
      ALTER TABLE lanes
        ALTER window_size SET DEFAULT 128,
        -- The most that the window may grow to: a rate limit needs no more than it can send in two seconds.
        ADD window_max           integer NOT NULL DEFAULT 2000 CHECK (window_max BETWEEN 1 AND 2000),
        ADD waiting              integer NOT NULL DEFAULT 0 CHECK (waiting >= 0),
        ADD accepted             bigint NOT NULL DEFAULT 0,
        ADD circuit              text NOT NULL DEFAULT 'closed' CHECK (circuit IN ('closed', 'open', 'half_open')),
        ADD trips                integer NOT NULL DEFAULT 0 CHECK (trips >= 0),
        ADD opened_at            timestamptz(3),
        ADD open_until           timestamptz(3),
        ADD closed_at            timestamptz(3),
        ADD probe_id             uuid,
        ADD consecutive_failures integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
        ADD sample_at            timestamptz(3),
        ADD sample_attempts      integer NOT NULL DEFAULT 0,
        ADD sample_failures      integer NOT NULL DEFAULT 0,
        ADD sample_timeouts      integer NOT NULL DEFAULT 0,
        ADD previous_attempts    integer NOT NULL DEFAULT 0,
        ADD previous_failures    integer NOT NULL DEFAULT 0,
        ADD previous_timeouts    integer NOT NULL DEFAULT 0,
        ADD failing_since        timestamptz(3),
        ADD failing_attempts     integer NOT NULL DEFAULT 0,
        ADD warned_percent       smallint NOT NULL DEFAULT 0 CHECK (warned_percent IN (0, 50, 75, 100)),
        ADD rate_factor          real NOT NULL DEFAULT 1 CHECK (rate_factor > 0 AND rate_factor <= 1),
        ADD rate_reduced_at      timestamptz(3),
        ADD CONSTRAINT lanes_open_has_end CHECK ((circuit = 'open') = (open_until IS NOT NULL)),
        ADD CONSTRAINT lanes_half_open_has_probe CHECK ((circuit = 'half_open') = (probe_id IS NOT NULL));
      CREATE INDEX lanes_not_closed ON lanes (open_until) WHERE circuit <> 'closed';
      COMMENT ON INDEX lanes_not_closed IS 'LanesRepository.findProbes and sidelining: circuits that are not closed';
      UPDATE lanes l SET waiting = c.n FROM (
        SELECT endpoint_id, count(*)::int AS n FROM deliveries WHERE status = 'pending' AND place = 'waiting' GROUP BY endpoint_id) c
       WHERE c.endpoint_id = l.endpoint_id;

      ALTER TABLE events
        ADD priority     text NOT NULL DEFAULT 'normal',
        ADD ordering_key text,
        -- Not validated: what is stored has the defaults, and reading all of history would stop the service for as long.
        ADD CONSTRAINT events_priority CHECK (priority IN ('critical', 'normal')) NOT VALID,
        ADD CONSTRAINT events_ordering_key CHECK (length(ordering_key) BETWEEN 1 AND 128) NOT VALID;
      ALTER TABLE deliveries
        -- In what order its endpoint's deliveries were accepted: counted by the lane under its lock.
        ADD seq          bigint NOT NULL DEFAULT 0,
        ADD ordering_key text,
        ADD critical     boolean NOT NULL DEFAULT false,
        -- When the present run began: accepted, or sent again. What ageMax counts from.
        ADD run_at       timestamptz(3) NOT NULL DEFAULT now(),
        -- Why there will be no further attempt.
        ADD gave_up      text,
        -- Why it is due when it is: shown beside the next attempt.
        ADD due_because  text,
        ADD CONSTRAINT deliveries_gave_up CHECK (
          gave_up IN ('permanent', 'attempts_exhausted', 'too_old', 'receiver_abort', 'platform_faults')) NOT VALID,
        ADD CONSTRAINT deliveries_due_because CHECK (
          due_because IN ('retry_schedule', 'retry_after', 'platform_fault', 'rate_limit', 'retry_budget')) NOT VALID;
      DROP INDEX deliveries_pending;
      CREATE INDEX deliveries_pending ON deliveries (endpoint_id, place, (ordering_key IS NULL), critical, due_at, id) WHERE status = 'pending';
      COMMENT ON INDEX deliveries_pending IS 'promotion of held deliveries from both ends, sidelining, cancelStopped, doctor: what is not over';
      CREATE INDEX deliveries_ordered ON deliveries (endpoint_id, ordering_key, seq) WHERE status = 'pending' AND ordering_key IS NOT NULL;
      COMMENT ON INDEX deliveries_ordered IS 'the next delivery of an ordering key; cancelStopped, doctor';

      -- What is due already was published before there were classes.
      UPDATE pgboss.job SET priority = 1 WHERE name = 'deliver' AND state < 'active' AND start_after <= now();

      -- One row per key of an ordered endpoint that has something pending or is blocked.
      CREATE TABLE ordering_keys (
        endpoint_id   uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        key           text NOT NULL,
        -- ready: its next delivery may be given a place. busy: one has it. blocked: one failed for good.
        state         text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'busy', 'blocked')),
        delivery_id   uuid,
        changed_at    timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (endpoint_id, key, subscriber_id),
        FOREIGN KEY (endpoint_id, subscriber_id) REFERENCES endpoints (id, subscriber_id) ON DELETE CASCADE,
        CONSTRAINT ordering_keys_who CHECK ((state = 'ready') = (delivery_id IS NULL))
      ) WITH (fillfactor = 70);
      CREATE INDEX ordering_keys_ready ON ordering_keys (endpoint_id, changed_at) WHERE state = 'ready';
      COMMENT ON INDEX ordering_keys_ready IS 'OrderingRepository.pickReady: keys whose next delivery may go';

      CREATE TABLE lane_transitions (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        endpoint_id   uuid NOT NULL,
        at            timestamptz(3) NOT NULL DEFAULT now(),
        kind          text NOT NULL,
        detail        jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (id, subscriber_id)
      );
      CREATE INDEX lane_transitions_endpoint ON lane_transitions (endpoint_id, at DESC);
      COMMENT ON INDEX lane_transitions_endpoint IS 'health of an endpoint, and the timeline of its deliveries';

      -- Lost in a crash of the server, which costs nobody more than one burst.
      CREATE UNLOGGED TABLE rate_slots (
        endpoint_id uuid PRIMARY KEY,
        state       jsonb NOT NULL,
        used_at     timestamptz(3) NOT NULL DEFAULT now()
      ) WITH (fillfactor = 50);

      -- What is to be told about a failure, written with it and published as an event soon after.
      CREATE TABLE notices (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        endpoint_id   uuid NOT NULL,
        kind          text NOT NULL CHECK (kind IN ('delivery.failed', 'endpoint.failing', 'endpoint.disabled', 'endpoint.recovered')),
        delivery_id   uuid,
        detail        jsonb NOT NULL DEFAULT '{}',
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (id, subscriber_id)
      );

      -- Counted by workers in memory and added every few seconds: figures for people, not a record.
      CREATE TABLE endpoint_stats (
        endpoint_id   uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        bucket_at     timestamptz(3) NOT NULL,
        delivered     integer NOT NULL DEFAULT 0,
        failed        integer NOT NULL DEFAULT 0,
        -- Counts per class of duration, see libs/domain/src/latency-histogram.ts.
        latency       integer[] NOT NULL,
        PRIMARY KEY (endpoint_id, bucket_at, subscriber_id)
      ) WITH (fillfactor = 70);
      CREATE INDEX endpoint_stats_bucket ON endpoint_stats (bucket_at);
      COMMENT ON INDEX endpoint_stats_bucket IS 'StatsRepository.deleteOld';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE endpoint_stats, notices, rate_slots, lane_transitions, ordering_keys;
      DROP INDEX deliveries_ordered;
      DROP INDEX deliveries_pending;
      CREATE INDEX deliveries_pending ON deliveries (endpoint_id, place, id) WHERE status = 'pending';
      COMMENT ON INDEX deliveries_pending IS 'promotion of held deliveries (T2), cancelStopped, doctor: what is not over';
      ALTER TABLE deliveries DROP seq, DROP ordering_key, DROP critical, DROP run_at, DROP gave_up, DROP due_because;
      ALTER TABLE events DROP priority, DROP ordering_key;
      DROP INDEX lanes_not_closed;
      -- Nothing grew a window before.
      UPDATE lanes SET window_size = 2000;
      ALTER TABLE lanes ALTER window_size SET DEFAULT 2000,
        DROP window_max, DROP waiting, DROP accepted, DROP circuit, DROP trips, DROP opened_at, DROP open_until, DROP closed_at, DROP probe_id,
        DROP consecutive_failures, DROP sample_at, DROP sample_attempts, DROP sample_failures, DROP sample_timeouts,
        DROP previous_attempts, DROP previous_failures, DROP previous_timeouts, DROP failing_since, DROP failing_attempts,
        DROP warned_percent, DROP rate_factor, DROP rate_reduced_at;
      ALTER TABLE event_types DROP retry_policy;
      ALTER TABLE endpoints DROP retry_policy, DROP rate_limit, DROP retry_budget_percent, DROP ordered, DROP ordered_failure,
        DROP on_failure_endpoint_id, DROP disable_after_seconds, DROP disable_attempts_min;
    `);
  }
}
