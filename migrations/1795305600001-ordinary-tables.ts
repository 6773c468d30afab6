import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Everything that stays small: who receives, where, of what kind, who may ask, and what staff did. */
export class OrdinaryTables1795305600001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE subscribers (
        id          uuid PRIMARY KEY,
        external_id text CHECK (length(external_id) BETWEEN 1 AND 256),
        name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
        metadata    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        updated_at  timestamptz(3) NOT NULL DEFAULT now(),
        deleted_at  timestamptz(3)
      );
      CREATE UNIQUE INDEX subscribers_external_id ON subscribers (external_id) WHERE deleted_at IS NULL;
      COMMENT ON INDEX subscribers_external_id IS 'SubscribersRepository.find and AcceptRepository.resolve: by the company''s own id';

      CREATE TABLE endpoints (
        id              uuid NOT NULL,
        subscriber_id   uuid NOT NULL REFERENCES subscribers (id),
        url             text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
        description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1024),
        event_types     text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 100),
        headers         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
        metadata        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
        timeout_ms      integer NOT NULL DEFAULT 15000 CHECK (timeout_ms BETWEEN 1000 AND 30000),
        disabled_at     timestamptz(3),
        disabled_reason text CHECK (length(disabled_reason) <= 256),
        created_at      timestamptz(3) NOT NULL DEFAULT now(),
        updated_at      timestamptz(3) NOT NULL DEFAULT now(),
        deleted_at      timestamptz(3),
        PRIMARY KEY (id, subscriber_id),
        CHECK (disabled_at IS NOT NULL OR disabled_reason IS NULL)
      );
      CREATE INDEX endpoints_subscriber ON endpoints (subscriber_id, id) WHERE deleted_at IS NULL;
      COMMENT ON INDEX endpoints_subscriber IS 'AcceptRepository.resolve and EndpointsRepository.list: the endpoints of a subscriber';
      CREATE INDEX endpoints_stopped ON endpoints ((greatest(disabled_at, deleted_at))) WHERE disabled_at IS NOT NULL OR deleted_at IS NOT NULL;
      COMMENT ON INDEX endpoints_stopped IS 'LanesRepository.cancelStopped: endpoints that were just disabled or deleted';

      CREATE TABLE endpoint_secrets (
        id            uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        endpoint_id   uuid NOT NULL,
        secret        text NOT NULL,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        expires_at    timestamptz(3),
        PRIMARY KEY (id, subscriber_id),
        FOREIGN KEY (endpoint_id, subscriber_id) REFERENCES endpoints (id, subscriber_id) ON DELETE CASCADE
      );
      CREATE INDEX endpoint_secrets_endpoint ON endpoint_secrets (endpoint_id, id DESC);
      COMMENT ON INDEX endpoint_secrets_endpoint IS 'PumpRepository.loadForAttempt: the live secrets of an endpoint, newest first';

      CREATE TABLE lanes (
        endpoint_id   uuid NOT NULL,
        subscriber_id uuid NOT NULL,
        -- "window" is a reserved word of SQL, so the column says what it counts.
        window_size   integer NOT NULL DEFAULT 2000 CHECK (window_size BETWEEN 0 AND 2000),
        queued        integer NOT NULL DEFAULT 0 CHECK (queued >= 0),
        held          integer NOT NULL DEFAULT 0 CHECK (held >= 0),
        paused_at     timestamptz(3),
        PRIMARY KEY (endpoint_id, subscriber_id),
        FOREIGN KEY (endpoint_id, subscriber_id) REFERENCES endpoints (id, subscriber_id) ON DELETE CASCADE
      ) WITH (fillfactor = 50);
      CREATE INDEX lanes_held ON lanes (endpoint_id) WHERE held > 0;
      COMMENT ON INDEX lanes_held IS 'LanesRepository.findStalled: lanes that hold deliveries and may have room';

      CREATE TABLE event_types (
        name        text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128),
        description text NOT NULL DEFAULT '' CHECK (length(description) <= 1024),
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        updated_at  timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE TABLE event_type_versions (
        event_type  text NOT NULL REFERENCES event_types (name) ON DELETE CASCADE,
        version     text NOT NULL CHECK (length(version) BETWEEN 1 AND 32),
        description text NOT NULL DEFAULT '' CHECK (length(description) <= 1024),
        example     text,
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (event_type, version)
      );

      CREATE TABLE api_keys (
        id            uuid PRIMARY KEY,
        name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
        key_hash      bytea NOT NULL CHECK (length(key_hash) = 32),
        scopes        text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 20),
        subscriber_id uuid REFERENCES subscribers (id),
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        expires_at    timestamptz(3),
        revoked_at    timestamptz(3),
        last_used_at  timestamptz(3)
      );
      CREATE UNIQUE INDEX api_keys_hash ON api_keys (key_hash);
      COMMENT ON INDEX api_keys_hash IS 'ApiKeysRepository.findByHash: on every request';

      CREATE TABLE audit_log (
        id            uuid PRIMARY KEY,
        at            timestamptz(3) NOT NULL DEFAULT now(),
        actor         text NOT NULL,
        action        text NOT NULL,
        object        text NOT NULL,
        subscriber_id uuid,
        before        jsonb,
        after         jsonb,
        ip            text,
        request_id    text
      );

      CREATE TABLE idempotency_keys (
        scope       text NOT NULL CHECK (length(scope) <= 512),
        key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
        fingerprint bytea NOT NULL,
        status_code smallint NOT NULL,
        response    text NOT NULL,
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        PRIMARY KEY (scope, key)
      );
      CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
      COMMENT ON INDEX idempotency_keys_created IS 'IdempotencyRepository.deleteExpired: the answers older than a day';

      CREATE TABLE replays (
        id            uuid PRIMARY KEY,
        subscriber_id uuid,
        endpoint_id   uuid,
        event_type    text,
        status        text CHECK (status IN ('delivered', 'failed', 'cancelled')),
        since         timestamptz(3) NOT NULL,
        until         timestamptz(3) NOT NULL,
        state         text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
        matched       integer NOT NULL DEFAULT 0 CHECK (matched >= 0),
        resent        integer NOT NULL DEFAULT 0 CHECK (resent >= 0),
        skipped       integer NOT NULL DEFAULT 0 CHECK (skipped >= 0),
        after_id      uuid,
        fingerprint   bytea NOT NULL,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now(),
        finished_at   timestamptz(3),
        CHECK (since < until),
        CHECK ((state = 'running') = (finished_at IS NULL))
      );
      CREATE UNIQUE INDEX replays_running ON replays (fingerprint) WHERE state = 'running';
      COMMENT ON INDEX replays_running IS 'ReplaysRepository.claimBatch, and the promise that the same replay never runs twice at once';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE replays, idempotency_keys, audit_log, api_keys, event_type_versions, event_types,
        lanes, endpoint_secrets, endpoints, subscribers;
    `);
  }
}
