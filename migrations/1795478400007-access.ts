import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who may do what: keys that rotate and know where they are used, customers' access tokens, and an audit log that tells more. */
export class Access1795478400007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_keys
        -- Its text is an operator's POSTHORN_ADMIN_KEY, which may name no id: it is found by its hash.
        ADD chosen           boolean NOT NULL DEFAULT false,
        -- Networks that it may be used from; none for anywhere.
        ADD allowed_networks text[] NOT NULL DEFAULT '{}' CHECK (cardinality(allowed_networks) <= 50),
        ADD rotated_at       timestamptz(3),
        -- The text before the last rotation, and until when it is good too.
        ADD previous_hash    bytea CHECK (length(previous_hash) = 32),
        ADD previous_ends_at timestamptz(3),
        ADD last_used_ip     text,
        ADD CONSTRAINT api_keys_previous CHECK ((previous_hash IS NULL) = (previous_ends_at IS NULL));
      UPDATE api_keys SET chosen = true WHERE name = 'POSTHORN_ADMIN_KEY';
      COMMENT ON INDEX api_keys_hash IS 'ApiKeysRepository.findChosen: on requests with an operator''s own key; no text twice';

      CREATE TABLE access_tokens (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL REFERENCES subscribers (id),
        token_hash    bytea NOT NULL CHECK (length(token_hash) = 32),
        mode          text NOT NULL CHECK (mode IN ('read', 'manage')),
        description   text NOT NULL CHECK (length(description) <= 1024),
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        expires_at    timestamptz(3) NOT NULL,
        revoked_at    timestamptz(3),
        last_used_at  timestamptz(3),
        last_used_ip  text,
        PRIMARY KEY (id, subscriber_id),
        CONSTRAINT access_tokens_short CHECK (expires_at <= created_at + interval '1 day')
      );
      CREATE INDEX access_tokens_subscriber ON access_tokens (subscriber_id, id);
      COMMENT ON INDEX access_tokens_subscriber IS 'accessTokensRepository.list and countLive: of one subscriber, newest first';
      CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
      COMMENT ON INDEX access_tokens_expiry IS 'accessTokensRepository.deleteEnded: those that were over a day ago';

      ALTER TABLE audit_log
        ADD actor_kind text NOT NULL DEFAULT 'key' CHECK (actor_kind IN ('key', 'token', 'cli', 'system')),
        ADD route      text;
      -- Until now only keys acted. From now on whoever writes says who acted.
      ALTER TABLE audit_log ALTER actor_kind DROP DEFAULT;
      CREATE INDEX audit_log_subscriber ON audit_log (subscriber_id, id);
      COMMENT ON INDEX audit_log_subscriber IS 'auditRepository.list: of one subscriber, newest first';
      CREATE INDEX audit_log_actor ON audit_log (actor, id);
      COMMENT ON INDEX audit_log_actor IS 'auditRepository.list: what one key, token or user did';
      CREATE INDEX audit_log_kind ON audit_log (actor_kind, id);
      COMMENT ON INDEX audit_log_kind IS 'auditRepository.list: what was done by the command line, by Posthorn itself, by customers';
      CREATE INDEX audit_log_action ON audit_log (action, id);
      COMMENT ON INDEX audit_log_action IS 'auditRepository.list: every revocation, every look at a secret';
      CREATE INDEX audit_log_object ON audit_log (object, id);
      COMMENT ON INDEX audit_log_object IS 'auditRepository.list: what happened to one thing';

      -- The only way a row ends. Runs as the owner, because no role of ours may delete; refuses to forget what is recent, so
      -- that whoever got hold of a worker cannot wipe its traces.
      CREATE FUNCTION posthorn_forget_audit(days integer, rows_max integer) RETURNS integer
      LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        WITH gone AS (
          DELETE FROM audit_log WHERE id IN (
            SELECT id FROM audit_log ORDER BY id LIMIT least(rows_max, 10000))
             AND at < now() - make_interval(days => greatest(days, 90)) RETURNING 1)
        SELECT count(*)::integer FROM gone
      $$;
      REVOKE EXECUTE ON FUNCTION posthorn_forget_audit(integer, integer) FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION posthorn_forget_audit(integer, integer) TO posthorn_worker;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION posthorn_forget_audit(integer, integer);
      DROP INDEX audit_log_subscriber, audit_log_actor, audit_log_kind, audit_log_action, audit_log_object;
      ALTER TABLE audit_log DROP actor_kind, DROP route;
      DROP TABLE access_tokens;
      COMMENT ON INDEX api_keys_hash IS 'ApiKeysRepository.findByHash: on every request';
      ALTER TABLE api_keys DROP chosen, DROP allowed_networks, DROP rotated_at, DROP previous_hash, DROP previous_ends_at,
        DROP last_used_ip;
    `);
  }
}
