import type { MigrationInterface, QueryRunner } from 'typeorm';

/** All in order: parents before their parts, as every statement takes them. */
const LOCKS_AS_THEY_COME = `
            LOCK TABLE ONLY deliveries, ONLY events, ONLY attempts IN ACCESS EXCLUSIVE MODE;`;

/**
 * lock_timeout bounds each wait by itself, and everybody queues behind the first lock while the later ones are waited for:
 * nine locks of 300 ms were up to 2.7 s. Now they share the 300 ms, and DETACH and DROP find them all taken.
 */
const LOCKS_BY_A_DEADLINE = `
            deadline := clock_timestamp() + interval '300 milliseconds';
            FOREACH target IN ARRAY ARRAY['deliveries', 'events', 'attempts', 'deliveries_default', 'events_default', 'attempts_default',
                                          'deliveries_' || day_text, 'events_' || day_text, 'attempts_' || day_text] LOOP
              CONTINUE WHEN to_regclass(target) IS NULL;
              PERFORM set_config('lock_timeout', greatest(1, floor(extract(epoch FROM deadline - clock_timestamp()) * 1000))::integer::text, true);
              EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', target);
            END LOOP;`;

/** Dropping a day makes nobody wait longer than 300 ms in all, whoever has a transaction open in its way. */
export class ShortLocks1795651200015 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(dropOldest(LOCKS_BY_A_DEADLINE, 'deadline timestamptz; target text;'));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(dropOldest(LOCKS_AS_THEY_COME, ''));
  }
}

/** As large-tables made it and protect-tables renamed it, but for the locks. */
function dropOldest(locks: string, declared: string): string {
  return `
      CREATE OR REPLACE FUNCTION posthorn_drop_oldest_partitions(keep_from date) RETURNS text[]
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '300ms' AS $$
      DECLARE
        day_text text; pending boolean; parent text; dropped text[] := '{}'; ${declared}
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
            -- Then looked at again: a resend that committed in between would lose its row.${locks}
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
      END $$`;
}
