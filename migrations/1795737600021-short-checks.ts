import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The same rules in fewer words. PostgreSQL keeps a CHECK as the text of its expression tree and reads it anew for each statement that writes the
 * table, at some 5 µs a kilobyte: with a single delivery more than with its rows (docs/adr/0016). So a list of words is one constant, not
 * an array that is built of constants, and what can be said of several columns at once is one rule. A name stays where its rule does.
 *
 * Not validated, because that would read the history, with everybody waiting: the constraints that these replace refused the same rows.
 */
export class ShortChecks1795737600021 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ${LOCK_ALL}
      ALTER TABLE deliveries
        DROP CONSTRAINT deliveries_status_check,
        DROP CONSTRAINT deliveries_cancelled_has_reason,
        DROP CONSTRAINT deliveries_failed_has_class,
        -- What the status may be, by what is said of it: cancelled and nothing else has a reason, and what failed has a class.
        ADD CONSTRAINT deliveries_status_and_why CHECK (status = ANY (
          CASE WHEN cancel_reason IS NOT NULL THEN '{cancelled}'::text[]
               WHEN failure IS NULL THEN '{pending,delivered}'
               ELSE '{pending,delivered,failed}' END)) NOT VALID,
        DROP CONSTRAINT deliveries_pending_has_place,
        DROP CONSTRAINT deliveries_pending_has_due_at,
        DROP CONSTRAINT deliveries_finished,
        ADD CONSTRAINT deliveries_pending_or_finished CHECK (
          (status = 'pending') = ALL (ARRAY[place IS NOT NULL, due_at IS NOT NULL, finished_at IS NULL])) NOT VALID,
        DROP CONSTRAINT deliveries_tries_check,
        DROP CONSTRAINT deliveries_faults_check,
        DROP CONSTRAINT deliveries_check,
        ADD CONSTRAINT deliveries_counts CHECK (least(tries, faults) >= 0 AND attempts >= tries) NOT VALID,
        DROP CONSTRAINT deliveries_place_check,
        ADD CONSTRAINT deliveries_place_check CHECK (place = ANY ('{queued,held,waiting}'::text[])) NOT VALID,
        DROP CONSTRAINT deliveries_trigger_check,
        ADD CONSTRAINT deliveries_trigger_check CHECK (trigger = ANY ('{event,retry,resend,replay,test}'::text[])) NOT VALID,
        DROP CONSTRAINT deliveries_due_because,
        ADD CONSTRAINT deliveries_due_because CHECK (
          due_because = ANY ('{retry_schedule,retry_after,platform_fault,rate_limit,retry_budget}'::text[])) NOT VALID,
        DROP CONSTRAINT deliveries_gave_up,
        ADD CONSTRAINT deliveries_gave_up CHECK (
          gave_up = ANY ('{permanent,attempts_exhausted,too_old,receiver_abort,platform_faults}'::text[])) NOT VALID;

      ALTER TABLE attempts
        DROP CONSTRAINT attempts_status_check,
        DROP CONSTRAINT attempts_failed_has_class,
        ADD CONSTRAINT attempts_status_and_failure CHECK (
          status = CASE WHEN failure IS NULL THEN 'delivered' ELSE 'failed' END) NOT VALID,
        DROP CONSTRAINT attempts_one_form,
        ADD CONSTRAINT attempts_one_form CHECK (
          response_sealed IS NULL OR (response_headers, response_body, response_encoding) IS NULL) NOT VALID,
        DROP CONSTRAINT attempts_response_encoding_check,
        ADD CONSTRAINT attempts_response_encoding_check CHECK (response_encoding = ANY ('{utf8,base64}'::text[])) NOT VALID,
        DROP CONSTRAINT attempts_trigger_check,
        ADD CONSTRAINT attempts_trigger_check CHECK (trigger = ANY ('{event,retry,resend,replay,test}'::text[])) NOT VALID;

      ALTER TABLE events
        DROP CONSTRAINT events_ordering_key,
        ADD CONSTRAINT events_ordering_key CHECK (length(ordering_key) <@ int4range '[1,128]') NOT VALID,
        DROP CONSTRAINT events_priority,
        ADD CONSTRAINT events_priority CHECK (priority = ANY ('{critical,normal}'::text[])) NOT VALID;

      ALTER TABLE lanes
        DROP CONSTRAINT lanes_queued_check,
        DROP CONSTRAINT lanes_held_check,
        DROP CONSTRAINT lanes_waiting_check,
        DROP CONSTRAINT lanes_trips_check,
        DROP CONSTRAINT lanes_consecutive_failures_check,
        -- least() passes over NULL: each of them is NOT NULL.
        ADD CONSTRAINT lanes_counts CHECK (least(queued, held, waiting, trips, consecutive_failures) >= 0) NOT VALID,
        DROP CONSTRAINT lanes_window_size_check,
        ADD CONSTRAINT lanes_window_size_check CHECK (window_size <@ int4range '[0,2000]') NOT VALID,
        DROP CONSTRAINT lanes_window_max_check,
        ADD CONSTRAINT lanes_window_max_check CHECK (window_max <@ int4range '[1,2000]') NOT VALID,
        DROP CONSTRAINT lanes_circuit_check,
        ADD CONSTRAINT lanes_circuit_check CHECK (circuit = ANY ('{closed,open,half_open,unverified}'::text[])) NOT VALID,
        DROP CONSTRAINT lanes_rate_factor_check,
        ADD CONSTRAINT lanes_rate_factor_check CHECK (rate_factor > real '0' AND rate_factor <= real '1') NOT VALID,
        DROP CONSTRAINT lanes_warned_percent_check,
        ADD CONSTRAINT lanes_warned_percent_check CHECK (warned_percent = ANY ('{0,50,75,100}'::smallint[])) NOT VALID;
    `);
  }

  /** What was validated is so again, and reads the history for it. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ${LOCK_ALL}
      ALTER TABLE deliveries
        DROP CONSTRAINT deliveries_status_and_why,
        ADD CONSTRAINT deliveries_status_check CHECK (status IN ('pending', 'delivered', 'failed', 'cancelled')),
        ADD CONSTRAINT deliveries_cancelled_has_reason CHECK ((status = 'cancelled') = (cancel_reason IS NOT NULL)),
        ADD CONSTRAINT deliveries_failed_has_class CHECK (status <> 'failed' OR failure IS NOT NULL),
        DROP CONSTRAINT deliveries_pending_or_finished,
        ADD CONSTRAINT deliveries_pending_has_place CHECK ((status = 'pending') = (place IS NOT NULL)),
        ADD CONSTRAINT deliveries_pending_has_due_at CHECK ((status = 'pending') = (due_at IS NOT NULL)),
        ADD CONSTRAINT deliveries_finished CHECK ((status = 'pending') = (finished_at IS NULL)),
        DROP CONSTRAINT deliveries_counts,
        ADD CONSTRAINT deliveries_tries_check CHECK (tries >= 0),
        ADD CONSTRAINT deliveries_faults_check CHECK (faults >= 0),
        ADD CONSTRAINT deliveries_check CHECK (attempts >= tries),
        DROP CONSTRAINT deliveries_place_check,
        ADD CONSTRAINT deliveries_place_check CHECK (place IN ('queued', 'held', 'waiting')),
        DROP CONSTRAINT deliveries_trigger_check,
        ADD CONSTRAINT deliveries_trigger_check CHECK (trigger IN ('event', 'retry', 'resend', 'replay', 'test')),
        DROP CONSTRAINT deliveries_due_because,
        ADD CONSTRAINT deliveries_due_because CHECK (
          due_because IN ('retry_schedule', 'retry_after', 'platform_fault', 'rate_limit', 'retry_budget')) NOT VALID,
        DROP CONSTRAINT deliveries_gave_up,
        ADD CONSTRAINT deliveries_gave_up CHECK (
          gave_up IN ('permanent', 'attempts_exhausted', 'too_old', 'receiver_abort', 'platform_faults')) NOT VALID;

      ALTER TABLE attempts
        DROP CONSTRAINT attempts_status_and_failure,
        ADD CONSTRAINT attempts_status_check CHECK (status IN ('delivered', 'failed')),
        ADD CONSTRAINT attempts_failed_has_class CHECK ((status = 'failed') = (failure IS NOT NULL)),
        DROP CONSTRAINT attempts_one_form,
        ADD CONSTRAINT attempts_one_form CHECK (response_sealed IS NULL
          OR (response_headers IS NULL AND response_body IS NULL AND response_encoding IS NULL)) NOT VALID,
        DROP CONSTRAINT attempts_response_encoding_check,
        ADD CONSTRAINT attempts_response_encoding_check CHECK (response_encoding IN ('utf8', 'base64')),
        DROP CONSTRAINT attempts_trigger_check,
        ADD CONSTRAINT attempts_trigger_check CHECK (trigger IN ('event', 'retry', 'resend', 'replay', 'test'));

      ALTER TABLE events
        DROP CONSTRAINT events_ordering_key,
        ADD CONSTRAINT events_ordering_key CHECK (length(ordering_key) BETWEEN 1 AND 128) NOT VALID,
        DROP CONSTRAINT events_priority,
        ADD CONSTRAINT events_priority CHECK (priority IN ('critical', 'normal')) NOT VALID;

      ALTER TABLE lanes
        DROP CONSTRAINT lanes_counts,
        ADD CONSTRAINT lanes_queued_check CHECK (queued >= 0),
        ADD CONSTRAINT lanes_held_check CHECK (held >= 0),
        ADD CONSTRAINT lanes_waiting_check CHECK (waiting >= 0),
        ADD CONSTRAINT lanes_trips_check CHECK (trips >= 0),
        ADD CONSTRAINT lanes_consecutive_failures_check CHECK (consecutive_failures >= 0),
        DROP CONSTRAINT lanes_window_size_check,
        ADD CONSTRAINT lanes_window_size_check CHECK (window_size BETWEEN 0 AND 2000),
        DROP CONSTRAINT lanes_window_max_check,
        ADD CONSTRAINT lanes_window_max_check CHECK (window_max BETWEEN 1 AND 2000),
        DROP CONSTRAINT lanes_circuit_check,
        ADD CONSTRAINT lanes_circuit_check CHECK (circuit IN ('closed', 'open', 'half_open', 'unverified')),
        DROP CONSTRAINT lanes_rate_factor_check,
        ADD CONSTRAINT lanes_rate_factor_check CHECK (rate_factor > 0 AND rate_factor <= 1),
        DROP CONSTRAINT lanes_warned_percent_check,
        ADD CONSTRAINT lanes_warned_percent_check CHECK (warned_percent IN (0, 50, 75, 100));
    `);
  }
}

/**
 * All or none, again and again: api and worker take these tables in other orders, and whoever has a transaction open in the way would make
 * everybody wait behind us. A second and a half, because an autovacuum gives way after one.
 */
const LOCK_ALL = `
      DO $$ BEGIN
        FOR try IN REVERSE 10..0 LOOP
          BEGIN
            SET LOCAL lock_timeout = '1500ms';
            LOCK TABLE lanes, deliveries, attempts, events IN ACCESS EXCLUSIVE MODE;
            EXIT;
          EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF try = 0 THEN RAISE; END IF;
            PERFORM pg_sleep(0.5);
          END;
        END LOOP;
      END $$;`;
