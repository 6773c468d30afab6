import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A count that would take too long ends before it has counted all. Null: it has, as every count of the versions before. */
export class ReplayCounts1795651200018 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE replays ADD COLUMN counted_to timestamptz(3)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE replays DROP COLUMN counted_to');
  }
}
