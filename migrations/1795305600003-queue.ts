import type { MigrationInterface, QueryRunner } from 'typeorm';
import { getConstructionPlans } from 'pg-boss';

/**
 * pg-boss's schema and our one queue, so that api and worker start with `migrate: false` and need no right to
 * create anything. The queue has a table of its own (`partition`), which cannot be chosen later.
 * - retryLimit: a job is given back only after an expiry; the delivery row counts tries, so this never ends one.
 * - retentionSeconds: the default deletes queued jobs after 14 days, which would lose a long-held delivery.
 * - heartbeatSeconds 12 + the worker's supervision every 4 s: a killed worker's jobs are free within 20 s.
 * - expireInSeconds: above the longest wait of a claimed job (a full park before it, 30 s each) + one attempt.
 */
const QUEUE_OPTIONS = {
  policy: 'standard',
  partition: true,
  retryLimit: 1_000_000_000,
  retryDelay: 0,
  retryBackoff: false,
  expireInSeconds: 600,
  heartbeatSeconds: 12,
  retentionSeconds: 315_360_000,
  deleteAfterSeconds: 3600,
  warningQueueSize: 10_000_000,
};

export class Queue1795305600003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // pg-boss wraps its plan in a transaction of its own; this migration already is one.
    const plan = getConstructionPlans('pgboss')
      .replace(/^\s*BEGIN;/m, '')
      .replace(/COMMIT;\s*$/m, '');
    await runner.query(plan);
    await runner.query(`SELECT pgboss.create_queue('deliver', $1::jsonb)`, [JSON.stringify(QUEUE_OPTIONS)]);
    // Rows live for seconds: vacuum by count of dead rows, leave room on each page for the claim's update.
    await runner.query(`
      DO $$ DECLARE job_table text := (SELECT table_name FROM pgboss.queue WHERE name = 'deliver'); BEGIN
        EXECUTE format('ALTER TABLE pgboss.%I SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,
          autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)', job_table);
      END $$`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA pgboss CASCADE');
  }
}
