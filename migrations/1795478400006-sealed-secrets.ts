import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Secrets at rest. Columns come beside those with plain text, which stay readable until `posthorn migrate` (or
 * `posthorn keys rewrap`) has sealed what is in them: SQL has no keys. The checks on the large tables are NOT VALID: what
 * is there holds by the NOT NULL that goes, and looking through it would stop publishing for as long.
 */
export class SealedSecrets1795478400006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE data_keys (
        subscriber_id uuid PRIMARY KEY REFERENCES subscribers (id),
        kek_id        text NOT NULL CHECK (kek_id ~ '^[a-z0-9-]{1,32}$'),
        -- A version, a nonce, 32 sealed bytes, a tag.
        wrapped       bytea NOT NULL CHECK (length(wrapped) = 61),
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        rewrapped_at  timestamptz(3)
      );
      CREATE INDEX data_keys_kek ON data_keys (kek_id, subscriber_id);
      COMMENT ON INDEX data_keys_kek IS 'dataKeysRepository: one of each KEK at start, those to rewrap, counts for doctor';
      SELECT posthorn_protect('data_keys');

      ALTER TABLE endpoint_secrets ALTER secret DROP NOT NULL, ADD secret_sealed bytea,
        ADD CONSTRAINT endpoint_secrets_one_form CHECK ((secret IS NULL) <> (secret_sealed IS NULL));
      CREATE INDEX endpoint_secrets_plain ON endpoint_secrets (id) WHERE secret IS NOT NULL;
      COMMENT ON INDEX endpoint_secrets_plain IS 'sealPlainRepository: what is still to be sealed';

      -- Sealed: the values of all headers; \`headers\` keeps the names, each with an empty text.
      ALTER TABLE endpoints ADD headers_sealed bytea,
        ADD CONSTRAINT endpoints_headers_one_form CHECK (headers_sealed IS NULL OR NOT headers @? '$.* ? (@ != "")');
      CREATE INDEX endpoints_plain_headers ON endpoints (id) WHERE headers_sealed IS NULL AND headers <> '{}';
      COMMENT ON INDEX endpoints_plain_headers IS 'sealPlainRepository: what is still to be sealed';

      ALTER TABLE subscribers ADD encrypt_payloads boolean NOT NULL DEFAULT false;
      ALTER TABLE events ALTER data DROP NOT NULL, ADD data_sealed bytea,
        ADD CONSTRAINT events_one_form CHECK ((data IS NULL) <> (data_sealed IS NULL)) NOT VALID;
      -- Headers, body and encoding of a response in one: it may repeat the payload.
      ALTER TABLE attempts ADD response_sealed bytea,
        ADD CONSTRAINT attempts_one_form CHECK (
          response_sealed IS NULL OR response_headers IS NULL AND response_body IS NULL AND response_encoding IS NULL) NOT VALID;

      -- An answer that is kept to be repeated may show a secret.
      ALTER TABLE idempotency_keys ALTER response DROP NOT NULL, ADD response_sealed bytea, ADD sealed_for uuid,
        ADD CONSTRAINT idempotency_keys_one_form CHECK (
          (response IS NULL) <> (response_sealed IS NULL) AND (response_sealed IS NULL OR sealed_for IS NOT NULL));
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    // What is sealed cannot be read without a key, and SQL has none.
    await runner.query(`
      DO $$ BEGIN
        IF EXISTS (SELECT 1 FROM endpoint_secrets WHERE secret IS NULL) OR EXISTS (SELECT 1 FROM endpoints WHERE headers_sealed IS NOT NULL)
           OR EXISTS (SELECT 1 FROM events WHERE data IS NULL)
        THEN RAISE EXCEPTION 'posthorn: secrets are sealed; going back would lose them';
        END IF;
      END $$;
      DELETE FROM idempotency_keys WHERE response IS NULL;
      ALTER TABLE idempotency_keys DROP response_sealed, DROP sealed_for, ALTER response SET NOT NULL;
      ALTER TABLE attempts DROP response_sealed;
      ALTER TABLE events DROP data_sealed, ALTER data SET NOT NULL;
      ALTER TABLE subscribers DROP encrypt_payloads;
      DROP INDEX endpoints_plain_headers;
      ALTER TABLE endpoints DROP headers_sealed;
      DROP INDEX endpoint_secrets_plain;
      ALTER TABLE endpoint_secrets DROP secret_sealed, ALTER secret SET NOT NULL;
      DROP TABLE data_keys;
    `);
  }
}
