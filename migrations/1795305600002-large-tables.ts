import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Events, deliveries and attempts: one partition per day of the UUIDv7 that is their id, so a look-up by id
 * prunes to one partition and retention is a dropped table. No foreign keys among them: a partition must drop
 * in a moment. The functions are SECURITY DEFINER: the role that runs api and worker need not own the tables.
 */
export class LargeTables1795305600002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE events (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        type          text NOT NULL,
        version       text NOT NULL,
        data          text NOT NULL,
        matched       integer NOT NULL CHECK (matched >= 0),
        traceparent   text,
        occurred_at   timestamptz(3) NOT NULL,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (id, subscriber_id)
      ) PARTITION BY RANGE (id);
      CREATE INDEX events_subscriber ON events (subscriber_id, id);
      COMMENT ON INDEX events_subscriber IS 'status.queries listEvents: of one subscriber, newest first';

      CREATE TABLE deliveries (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        event_id      uuid NOT NULL,
        endpoint_id   uuid NOT NULL,
        event_type    text NOT NULL,
        status        text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'cancelled')),
        place         text CHECK (place IN ('queued', 'held', 'waiting')),
        trigger       text NOT NULL CHECK (trigger IN ('event', 'retry', 'resend', 'replay', 'test')),
        tries         smallint NOT NULL DEFAULT 0 CHECK (tries >= 0),
        faults        smallint NOT NULL DEFAULT 0 CHECK (faults >= 0),
        attempts      integer NOT NULL DEFAULT 0 CHECK (attempts >= tries),
        ticket        integer NOT NULL DEFAULT 1,
        due_at        timestamptz(3),
        failure       text,
        status_code   smallint,
        cancel_reason text,
        replay_id     uuid,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now(),
        finished_at   timestamptz(3),
        PRIMARY KEY (id, subscriber_id),
        CONSTRAINT deliveries_pending_has_place CHECK ((status = 'pending') = (place IS NOT NULL)),
        CONSTRAINT deliveries_pending_has_due_at CHECK ((status = 'pending') = (due_at IS NOT NULL)),
        CONSTRAINT deliveries_finished CHECK ((status = 'pending') = (finished_at IS NULL)),
        CONSTRAINT deliveries_cancelled_has_reason CHECK ((status = 'cancelled') = (cancel_reason IS NOT NULL)),
        CONSTRAINT deliveries_failed_has_class CHECK (status <> 'failed' OR failure IS NOT NULL)
      ) PARTITION BY RANGE (id);
      CREATE INDEX deliveries_subscriber ON deliveries (subscriber_id, id);
      COMMENT ON INDEX deliveries_subscriber IS 'status.queries listDeliveries: of one subscriber, newest first';
      CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);
      COMMENT ON INDEX deliveries_endpoint IS 'status.queries listDeliveries and replays: of one endpoint';
      CREATE INDEX deliveries_event ON deliveries (event_id);
      COMMENT ON INDEX deliveries_event IS 'status.queries deliveriesOfEvents: where one event went';
      CREATE INDEX deliveries_failed ON deliveries (subscriber_id, id) WHERE status = 'failed';
      COMMENT ON INDEX deliveries_failed IS 'status.queries listDeliveries and replays: what failed';
      CREATE INDEX deliveries_pending ON deliveries (endpoint_id, place, id) WHERE status = 'pending';
      COMMENT ON INDEX deliveries_pending IS 'promotion of held deliveries (T2), cancelStopped, doctor: what is not over';

      CREATE TABLE attempts (
        id                uuid NOT NULL,
        subscriber_id     uuid NOT NULL,
        delivery_id       uuid NOT NULL,
        endpoint_id       uuid NOT NULL,
        n                 integer NOT NULL CHECK (n >= 1),
        trigger           text NOT NULL CHECK (trigger IN ('event', 'retry', 'resend', 'replay', 'test')),
        status            text NOT NULL CHECK (status IN ('delivered', 'failed')),
        late              boolean NOT NULL DEFAULT false,
        url               text NOT NULL,
        scheduled_at      timestamptz(3) NOT NULL,
        started_at        timestamptz(3) NOT NULL,
        finished_at       timestamptz(3) NOT NULL,
        dns_ms            real,
        connect_ms        real,
        tls_ms            real,
        first_byte_ms     real,
        total_ms          real NOT NULL,
        status_code       smallint,
        failure           text,
        failure_detail    text,
        note              text,
        remote_address    text,
        response_headers  text,
        response_body     text CHECK (length(response_body) <= 32768),
        response_encoding text CHECK (response_encoding IN ('utf8', 'base64')),
        response_truncated boolean NOT NULL DEFAULT false,
        worker            text NOT NULL,
        PRIMARY KEY (id, subscriber_id),
        CONSTRAINT attempts_failed_has_class CHECK ((status = 'failed') = (failure IS NOT NULL))
      ) PARTITION BY RANGE (id);
      CREATE INDEX attempts_delivery ON attempts (delivery_id, n);
      COMMENT ON INDEX attempts_delivery IS 'status.queries attemptsOfDelivery: the timeline of one delivery';

      CREATE TABLE events_default PARTITION OF events DEFAULT;
      CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;
      CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

      -- The smallest UUIDv7 of an instant: its milliseconds since 1970 in the first 48 bits.
      CREATE FUNCTION posthorn_uuid_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
      $$;

      -- Makes the partitions of each day from first_day to last_day that do not exist. Answers how many it made.
      -- The table is made first and attached after: ATTACH holds a weaker lock on the parent than
      -- CREATE … PARTITION OF, so publishing and delivering go on. The default partition stays empty but for
      -- ids from a wrong clock; a day that has rows there cannot be attached, is skipped, and doctor says so.
      -- At most so many at a time: each transaction of the loop locks the default partition of one table only, so it
      -- can wait for the hot path but never in a circle with it; lock_timeout keeps that wait short for both.
      CREATE FUNCTION posthorn_create_partitions(first_day date, last_day date, most integer) RETURNS integer
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
      DECLARE
        parent text; day date; child text; made integer := 0; low uuid; high uuid;
      BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('posthorn_partitions', 0));
        FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
          FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
            child := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            EXIT WHEN made >= most;
            low := posthorn_uuid_floor(day::timestamp AT TIME ZONE 'UTC');
            high := posthorn_uuid_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
            BEGIN
              EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 85,
                autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2)', child, parent);
              EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
              made := made + 1;
            EXCEPTION WHEN check_violation THEN
              RAISE WARNING 'posthorn: % has rows of % in its default partition; the day gets no partition of its own', parent, day;
            END;
          END LOOP;
        END LOOP;
        RETURN made;
      END $$;

      -- Drops the oldest day before keep_from that holds no pending delivery. Answers the names dropped. A publisher's own event id may be a day older than its delivery, so callers keep one day more.
      CREATE FUNCTION posthorn_drop_partitions(keep_from date) RETURNS text[]
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
      DECLARE
        day_text text; pending boolean; parent text; dropped text[] := '{}';
      BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('posthorn_partitions', 0));
        FOR day_text IN
          SELECT DISTINCT right(c.relname, 8) FROM pg_inherits i
            JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
           WHERE p.oid IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
             AND c.relname ~ '_[0-9]{8}$' AND right(c.relname, 8) < to_char(keep_from, 'YYYYMMDD')
           ORDER BY 1
        LOOP
          IF to_regclass('deliveries_' || day_text) IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE status = ''pending'')', 'deliveries_' || day_text) INTO pending;
            CONTINUE WHEN pending;
            -- The parents first, as every statement takes them: a child first waited in a circle with the hot path.
            -- Then looked at again: a resend that committed in between would lose its row.
            LOCK TABLE ONLY deliveries, ONLY events, ONLY attempts IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE status = ''pending'')', 'deliveries_' || day_text) INTO pending;
            CONTINUE WHEN pending;
          END IF;
          FOREACH parent IN ARRAY ARRAY['attempts', 'deliveries', 'events'] LOOP
            IF to_regclass(parent || '_' || day_text) IS NOT NULL THEN
              EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, parent || '_' || day_text);
              EXECUTE format('DROP TABLE %I', parent || '_' || day_text);
              dropped := dropped || (parent || '_' || day_text);
            END IF;
          END LOOP;
          -- One day a call: the locks on the parents are held to the end of the transaction.
          EXIT;
        END LOOP;
        RETURN dropped;
      END $$;

      REVOKE EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) FROM PUBLIC;
      SELECT posthorn_create_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 7, 1000);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION posthorn_drop_partitions(date);
      DROP FUNCTION posthorn_create_partitions(date, date, integer);
      DROP TABLE attempts, deliveries, events;
      DROP FUNCTION posthorn_uuid_floor(timestamptz);
    `);
  }
}
