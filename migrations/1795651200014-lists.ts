import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Lists of what failed walk an index of their own, newest first. Partial: a delivery that succeeds at once writes to none of them.
 * No CONCURRENTLY on partitioned tables: a large history is indexed while its writers wait; before the first release there is none.
 */
export class Lists1795651200014 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX deliveries_failed_endpoint ON deliveries (endpoint_id, id) WHERE status = 'failed';
      COMMENT ON INDEX deliveries_failed_endpoint IS 'status.queries listDeliveries: what failed of one endpoint';
      CREATE INDEX deliveries_failed_class ON deliveries (failure, id) WHERE failure IS NOT NULL;
      COMMENT ON INDEX deliveries_failed_class IS 'status.queries listDeliveries: one class of failure, of everybody, by time';
      CREATE INDEX deliveries_failed_all ON deliveries (id) WHERE status = 'failed';
      COMMENT ON INDEX deliveries_failed_all IS 'status.queries listDeliveries and replays: what failed, of everybody, newest first';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'DROP INDEX deliveries_failed_endpoint, deliveries_failed_class, deliveries_failed_all',
    );
  }
}
