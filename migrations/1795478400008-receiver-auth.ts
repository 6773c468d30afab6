import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * How we prove to receivers who we are: which signatures, in which further headers, with what in `authorization`, and with
 * which certificate. What of it is secret is sealed in one column, so that one opening serves an attempt.
 */
export class ReceiverAuth1795478400008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE endpoints
        ADD signatures         text[] NOT NULL DEFAULT '{v1}' CHECK (signatures IN ('{v1}', '{v1a}', '{v1,v1a}')),
        ADD signature_headers  jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(signature_headers) = 'array'),
        ADD auth               jsonb CHECK (jsonb_typeof(auth) = 'object'),
        ADD tls                jsonb CHECK (jsonb_typeof(tls) = 'object'),
        ADD credentials_sealed bytea,
        ADD CONSTRAINT endpoints_auth_has_secret CHECK (auth IS NULL OR credentials_sealed IS NOT NULL);

      ALTER TABLE endpoint_secrets
        ADD kind       text NOT NULL DEFAULT 'v1' CHECK (kind IN ('v1', 'v1a')),
        ADD public_key text,
        ADD CONSTRAINT endpoint_secrets_public_key CHECK ((kind = 'v1a') = (public_key IS NOT NULL));
      CREATE INDEX endpoint_secrets_public ON endpoint_secrets (subscriber_id, id) WHERE kind = 'v1a';
      COMMENT ON INDEX endpoint_secrets_public IS 'publicKeysRepository.list: the public keys of a subscriber';
      CREATE INDEX endpoint_secrets_public_all ON endpoint_secrets (id) WHERE kind = 'v1a';
      COMMENT ON INDEX endpoint_secrets_public_all IS 'publicKeysRepository.list: everybody''s, for staff';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    // Private keys of ed25519 are nothing that the version before could sign with.
    await runner.query(`
      DELETE FROM endpoint_secrets WHERE kind = 'v1a';
      DROP INDEX endpoint_secrets_public, endpoint_secrets_public_all;
      ALTER TABLE endpoint_secrets DROP kind, DROP public_key;
      ALTER TABLE endpoints DROP signatures, DROP signature_headers, DROP auth, DROP tls, DROP credentials_sealed;
    `);
  }
}
