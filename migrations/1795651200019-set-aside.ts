import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A delivery that is promoted from held to queued changes no column that an index names, so that its new row version is a
 * heap-only tuple: no index entries (docs/adr/0014). What the index of pending deliveries names now is where a delivery was set
 * aside (held, waiting) and when it was due there. A trigger keeps the two, not the statements: an older version, which runs on
 * while this one comes, writes them without knowing. Its promotions look through all that an endpoint has pending until it is gone.
 *
 * For that the new version needs room on its page: half of it, because promotions come in hundreds, side by side. No table is written anew, only
 * pending rows are changed; the index is partial, but making it reads the history once. Nobody publishes or delivers meanwhile: 20 to 30 µs for each
 * delivery that is held or waiting, so half a minute with a million of them (docs/runbooks/production.md).
 */
export class SetAside1795651200019 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Row security holds for owners too: without the membership no pending row would be seen below, and what is held would never be promoted.
      DO $$ BEGIN
        IF NOT pg_has_role(current_user, 'posthorn_worker', 'USAGE') THEN
          RAISE EXCEPTION '% is no member of the role posthorn_worker. Have an administrator run: GRANT posthorn_worker TO %;',
            current_user, quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
        END IF;
      END $$;
      ALTER TABLE deliveries
        -- Where it was last held or waiting, and due_at there. A promotion leaves both as they are. NULL: straight into the queue, or over.
        ADD set_aside text,
        ADD set_aside_at timestamptz(3);
      CREATE FUNCTION posthorn_set_aside() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.set_aside := NEW.place;
        NEW.set_aside_at := NEW.due_at;
        RETURN NEW;
      END $$;
      CREATE TRIGGER deliveries_set_aside BEFORE INSERT OR UPDATE ON deliveries FOR EACH ROW
        WHEN (NEW.place IS DISTINCT FROM 'queued'
              AND (NEW.set_aside IS DISTINCT FROM NEW.place OR NEW.set_aside_at IS DISTINCT FROM NEW.due_at))
        EXECUTE FUNCTION posthorn_set_aside();
      UPDATE deliveries SET updated_at = updated_at WHERE status = 'pending' AND place <> 'queued';
      -- Not validated: what is over has neither, and history is long.
      ALTER TABLE deliveries ADD CONSTRAINT deliveries_set_aside CHECK (
        CASE WHEN place = 'queued' THEN set_aside IS DISTINCT FROM 'queued' AND (set_aside IS NULL) = (set_aside_at IS NULL)
             ELSE set_aside IS NOT DISTINCT FROM place AND set_aside_at IS NOT DISTINCT FROM due_at END) NOT VALID;
      DROP INDEX deliveries_pending;
      CREATE INDEX deliveries_pending ON deliveries (endpoint_id, set_aside, (ordering_key IS NULL), critical, set_aside_at, id) WHERE status = 'pending';
      COMMENT ON INDEX deliveries_pending IS 'promotion of held deliveries from both ends, sidelining, cancelStopped, doctor: what is not over';
      ${fill(50)}
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ${fill(85)}
      DROP INDEX deliveries_pending;
      CREATE INDEX deliveries_pending ON deliveries (endpoint_id, place, (ordering_key IS NULL), critical, due_at, id) WHERE status = 'pending';
      COMMENT ON INDEX deliveries_pending IS 'promotion of held deliveries from both ends, sidelining, cancelStopped, doctor: what is not over';
      DROP TRIGGER deliveries_set_aside ON deliveries;
      DROP FUNCTION posthorn_set_aside();
      ALTER TABLE deliveries DROP set_aside, DROP set_aside_at;
    `);
  }
}

/** How full pages of deliveries get by inserts: in the days that are there, and by the function of large-tables, else as it was, in those to come. */
function fill(percent: number): string {
  return `
      DO $$ DECLARE day regclass; BEGIN
        FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'deliveries'::regclass LOOP
          CONTINUE WHEN day = 'deliveries_default'::regclass;
          EXECUTE format('ALTER TABLE %s SET (fillfactor = ${percent})', day);
        END LOOP;
      END $$;
      CREATE OR REPLACE FUNCTION posthorn_attach_partitions(first_day date, last_day date, most integer) RETURNS integer
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
              EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = %s,
                autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2)', child, parent,
                CASE parent WHEN 'deliveries' THEN ${percent} ELSE 85 END);
              EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
              made := made + 1;
            EXCEPTION WHEN check_violation THEN
              RAISE WARNING 'posthorn: % has rows of % in its default partition; the day gets no partition of its own', parent, day;
            END;
          END LOOP;
        END LOOP;
        RETURN made;
      END $$;`;
}
