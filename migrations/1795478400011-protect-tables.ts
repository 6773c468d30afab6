import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Those that do not call `posthorn_protect` themselves. */
const TABLES = [
  'subscribers',
  'endpoints',
  'endpoint_secrets',
  'lanes',
  'ordering_keys',
  'lane_transitions',
  'endpoint_stats',
  'notices',
  'events',
  'deliveries',
  'attempts',
  'replays',
  'api_keys',
  'access_tokens',
  'audit_log',
];

/** Every table with rows of subscribers goes behind row security, and so does each partition that is made from now on. */
export class ProtectTables1795478400011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ${TABLES.map((table) => `SELECT posthorn_protect('${table}');`).join('\n      ')}
      -- Doctor and a metric look for rows there: their ids come from a wrong clock.
      GRANT SELECT ON events_default, deliveries_default, attempts_default TO posthorn_worker;

      ALTER FUNCTION posthorn_create_partitions(date, date, integer) RENAME TO posthorn_attach_partitions;
      REVOKE EXECUTE ON FUNCTION posthorn_attach_partitions(date, date, integer) FROM posthorn_worker;
      -- Nobody has seen the new partitions when they are protected: it is the same transaction.
      CREATE FUNCTION posthorn_create_partitions(first_day date, last_day date, most integer) RETURNS integer
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
      DECLARE made integer := posthorn_attach_partitions(first_day, last_day, most);
      BEGIN
        PERFORM posthorn_protect(i.inhrelid) FROM pg_inherits i
         WHERE made > 0 AND i.inhparent IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass)
           AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = i.inhrelid);
        RETURN made;
      END $$;

      ALTER FUNCTION posthorn_drop_partitions(date) RENAME TO posthorn_drop_oldest_partitions;
      REVOKE EXECUTE ON FUNCTION posthorn_drop_oldest_partitions(date) FROM posthorn_worker;
      -- It keeps a day with a pending delivery: an owner whom the policies show no row would see none, and drop it.
      CREATE FUNCTION posthorn_drop_partitions(keep_from date) RETURNS text[]
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
      BEGIN
        IF NOT pg_has_role(current_user, 'posthorn_worker', 'USAGE') THEN
          RAISE EXCEPTION 'posthorn: % is no member of posthorn_worker any more and would not see pending deliveries: GRANT posthorn_worker TO %;',
            current_user, quote_ident(current_user);
        END IF;
        RETURN posthorn_drop_oldest_partitions(keep_from);
      END $$;
      REVOKE EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) TO posthorn_worker;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION posthorn_drop_partitions(date);
      DROP FUNCTION posthorn_create_partitions(date, date, integer);
      ALTER FUNCTION posthorn_drop_oldest_partitions(date) RENAME TO posthorn_drop_partitions;
      ALTER FUNCTION posthorn_attach_partitions(date, date, integer) RENAME TO posthorn_create_partitions;
      GRANT EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) TO posthorn_worker;
      DO $$ DECLARE each regclass; BEGIN
        FOR each IN SELECT DISTINCT coalesce(p.relid, t.name::regclass)
                      FROM unnest(ARRAY['${TABLES.join("', '")}']) AS t (name) LEFT JOIN LATERAL pg_partition_tree(t.name::regclass) p ON true LOOP
          EXECUTE format('DROP POLICY of_all ON %s', each);
          EXECUTE format('DROP POLICY of_scope ON %s', each);
          EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', each);
          IF (SELECT relispartition FROM pg_class WHERE oid = each) THEN
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO posthorn_api, posthorn_worker', each);
          END IF;
        END LOOP;
      END $$;
    `);
  }
}
