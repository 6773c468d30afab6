import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How much of each request limit is used. Not logged: what a crash of the server loses is at most a minute of counting. */
export class Edge1795478400010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE UNLOGGED TABLE request_windows (
        -- Policy and whom it counts: 'key 0193…', 'address 192.0.2.7'. Bytewise order is the order of locking.
        name    text COLLATE "C" PRIMARY KEY CHECK (length(name) <= 128),
        used    integer NOT NULL CHECK (used >= 0),
        -- To the microsecond: rounded it would now and then end after 61 s.
        ends_at timestamptz NOT NULL
      ) WITH (fillfactor = 50);
      CREATE INDEX request_windows_ends_at ON request_windows (ends_at);
      COMMENT ON INDEX request_windows_ends_at IS 'requestLimitsRepository.deleteEnded';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE request_windows');
  }
}
