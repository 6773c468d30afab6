import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The roles that processes take at connect, what each may do, and `posthorn_protect`, which puts a table behind row
 * security: see docs/adr/0009. Every table with a subscriber_id calls it in the migration that makes the table.
 * The migrating role is a member of both and inherits: FORCE holds for owners too, and later migrations must see rows.
 */
export class RowSecurity1795478400005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Roles belong to the whole server: another database may have made them, or makes them at this moment.
      DO $$ DECLARE each text; BEGIN
        FOREACH each IN ARRAY ARRAY['posthorn_api', 'posthorn_worker'] LOOP
          IF to_regrole(each) IS NULL THEN
            BEGIN
              EXECUTE format('CREATE ROLE %I NOLOGIN', each);
            EXCEPTION
              WHEN duplicate_object OR unique_violation THEN NULL;
              WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'The role % is missing and % may not create roles. Have an administrator run: CREATE ROLE posthorn_api NOLOGIN; CREATE ROLE posthorn_worker NOLOGIN; GRANT posthorn_api, posthorn_worker TO %;',
                  each, current_user, quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
            END;
          END IF;
          -- CREATEROLE alone makes the creator no member: its rights must be inherited.
          IF NOT pg_has_role(current_user, each, 'USAGE') THEN
            BEGIN
              EXECUTE format('GRANT %I TO CURRENT_USER', each);
            EXCEPTION
              WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% is no member of the role %. Have an administrator run: GRANT posthorn_api, posthorn_worker TO %;',
                  current_user, each, quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
            END;
          END IF;
        END LOOP;
      END $$;

      GRANT USAGE ON SCHEMA public, pgboss TO posthorn_api, posthorn_worker;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, pgboss TO posthorn_api, posthorn_worker;
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgboss TO posthorn_api, posthorn_worker;
      ALTER DEFAULT PRIVILEGES IN SCHEMA public
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO posthorn_api, posthorn_worker;
      ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO posthorn_api, posthorn_worker;
      -- Nobody rewrites what was done; only migrations say which of them ran.
      REVOKE UPDATE, DELETE ON audit_log FROM posthorn_api, posthorn_worker;
      REVOKE INSERT, UPDATE, DELETE ON migrations FROM posthorn_api, posthorn_worker;

      -- Whose rows a transaction of the api may see: '*' for every subscriber's, uuids with commas, or nobody's. After the first
      -- transaction of a connection the setting is '' and not NULL. One expression each: the planner puts it in place of the call.
      CREATE FUNCTION posthorn_scope_is_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(current_setting('posthorn.scope', true), '') = '*'
      $$;
      CREATE FUNCTION posthorn_scope_ids() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT string_to_array(nullif(nullif(current_setting('posthorn.scope', true), '*'), ''), ',')::uuid[]
      $$;

      -- Puts a table behind row security, with its partitions. (Sub-selects: the setting is read once per statement.) A partition
      -- can be reached through its parent only: read by itself it would be judged by its own policies, not the parent's.
      CREATE FUNCTION posthorn_protect(table_name regclass) RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
      DECLARE
        each regclass; whose text := CASE WHEN table_name = 'subscribers'::regclass THEN 'id' ELSE 'subscriber_id' END;
      BEGIN
        FOR each IN SELECT table_name UNION SELECT relid FROM pg_partition_tree(table_name) LOOP
          CONTINUE WHEN EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = each);
          EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', each);
          EXECUTE format('CREATE POLICY of_all ON %s TO posthorn_worker USING (true) WITH CHECK (true)', each);
          EXECUTE format('CREATE POLICY of_scope ON %1$s TO posthorn_api
            USING ((SELECT posthorn_scope_is_all()) OR %2$I = ANY ((SELECT posthorn_scope_ids())::uuid[]))
            WITH CHECK ((SELECT posthorn_scope_is_all()) OR %2$I = ANY ((SELECT posthorn_scope_ids())::uuid[]))', each, whose);
          IF (SELECT relispartition FROM pg_class WHERE oid = each) THEN
            EXECUTE format('REVOKE ALL ON %s FROM posthorn_api, posthorn_worker', each);
          END IF;
        END LOOP;
      END $$;
      REVOKE EXECUTE ON FUNCTION posthorn_protect(regclass) FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) TO posthorn_worker;
    `);
  }

  /** The roles stay: they are the server's, and another database of it may use them. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      REVOKE EXECUTE ON FUNCTION posthorn_create_partitions(date, date, integer), posthorn_drop_partitions(date) FROM posthorn_worker;
      DROP FUNCTION posthorn_protect(regclass);
      DROP FUNCTION posthorn_scope_ids();
      DROP FUNCTION posthorn_scope_is_all();
      ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM posthorn_api, posthorn_worker;
      ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM posthorn_api, posthorn_worker;
      REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgboss FROM posthorn_api, posthorn_worker;
      REVOKE ALL ON ALL TABLES IN SCHEMA public, pgboss FROM posthorn_api, posthorn_worker;
      REVOKE USAGE ON SCHEMA public, pgboss FROM posthorn_api, posthorn_worker;
    `);
  }
}
