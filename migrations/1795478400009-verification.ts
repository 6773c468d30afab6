import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whether an endpoint has to prove that it wants deliveries, whether it has, and lanes that hold everything until then. */
export class Verification1795478400009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE endpoints
        ADD verification text NOT NULL DEFAULT 'none' CHECK (verification IN ('none', 'challenge', 'cloudevents')),
        -- When it last proved it, for the URL that it has now.
        ADD verified_at  timestamptz(3),
        ADD CONSTRAINT endpoints_verified_somehow CHECK (verified_at IS NULL OR verification <> 'none');
      ALTER TABLE lanes DROP CONSTRAINT lanes_circuit_check,
        ADD CONSTRAINT lanes_circuit_check CHECK (circuit IN ('closed', 'open', 'half_open', 'unverified'));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      UPDATE lanes SET circuit = 'closed' WHERE circuit = 'unverified';
      ALTER TABLE lanes DROP CONSTRAINT lanes_circuit_check,
        ADD CONSTRAINT lanes_circuit_check CHECK (circuit IN ('closed', 'open', 'half_open'));
      ALTER TABLE endpoints DROP verification, DROP verified_at;
    `);
  }
}
