import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The queue's own table keeps what its statements read (docs/adr/0014): its key, the order of claiming (i11), what is
 * completed (i16, always empty); new is an index of what is active, for supervision. The others are pg-boss's for features
 * that this queue does not use (singletons, flows, groups' concurrency, upserts, its dashboard), and each claim wrote into
 * three of them. The foreign keys asked for the one row of `pgboss.queue` once for each ticket; what they prevent, deleting
 * the queue, nobody does.
 */
const UNREAD = ['i4', 'i7', 'i9', 'i12', 'i13', 'i14', 'i15', 'i17'];

export class QueueIndexes1795564800012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DO $$ DECLARE job_table text := (SELECT table_name FROM pgboss.queue WHERE name = 'deliver'); suffix text; BEGIN
        FOREACH suffix IN ARRAY ARRAY[${UNREAD.map((each) => `'${each}'`).join(', ')}] LOOP
          EXECUTE format('DROP INDEX IF EXISTS pgboss.%I', job_table || '_' || suffix);
        END LOOP;
        EXECUTE format('ALTER TABLE pgboss.%I DROP CONSTRAINT IF EXISTS q_fkey, DROP CONSTRAINT IF EXISTS dlq_fkey', job_table);
        EXECUTE format('CREATE INDEX deliver_active ON pgboss.%I (name) WHERE state = ''active''', job_table);
        COMMENT ON INDEX pgboss.deliver_active IS 'pg-boss failJobs: whose claims have run out';
      END $$`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DO $$ DECLARE job_table text := (SELECT table_name FROM pgboss.queue WHERE name = 'deliver'); BEGIN
        DROP INDEX pgboss.deliver_active;
        EXECUTE format('ALTER TABLE pgboss.%I
          ADD CONSTRAINT q_fkey FOREIGN KEY (name) REFERENCES pgboss.queue (name) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
          ADD CONSTRAINT dlq_fkey FOREIGN KEY (dead_letter) REFERENCES pgboss.queue (name) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED', job_table);
        EXECUTE format('CREATE UNIQUE INDEX %I ON pgboss.%I (name, singleton_on, COALESCE(singleton_key, '''')) WHERE state <> ''cancelled'' AND singleton_on IS NOT NULL', job_table || '_i4', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (name, group_id) WHERE state = ''active'' AND group_id IS NOT NULL', job_table || '_i7', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (name, id) WHERE blocking AND state = ''completed''', job_table || '_i9', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (source_root_id) WHERE source_root_id IS NOT NULL', job_table || '_i12', job_table);
        EXECUTE format('CREATE UNIQUE INDEX %I ON pgboss.%I (name, singleton_key) WHERE state = ''created'' AND upsert_by_key', job_table || '_i13', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (name, state, blocked, start_after) WHERE state IN (''created'', ''retry'', ''active'', ''failed'')', job_table || '_i14', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (name, created_on)', job_table || '_i15', job_table);
        EXECUTE format('CREATE INDEX %I ON pgboss.%I (name, singleton_key, created_on) WHERE state < ''active'' AND singleton_key IS NOT NULL', job_table || '_i17', job_table);
      END $$`);
  }
}
