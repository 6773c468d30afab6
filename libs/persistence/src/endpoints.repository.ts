import { boundTo, DELIVER_QUEUE, DUE_CHANNEL, dueNoticePayload, type Scope } from '@app/contracts';
import { windowForRate, type RateLimit } from '@app/domain';
import type { DataKey, Place } from '@app/sealing';
import type { Database, Tx } from './database.js';
import { EndpointSecretEntity } from './entities/endpoint-secret.entity.js';
import { EndpointEntity } from './entities/endpoint.entity.js';
import {
  joinCredentials,
  sealCredentials,
  credentialsAt,
  type Credentials,
  type SignatureKind,
} from './credentials.js';
import type { PageOfRows } from './subscribers.repository.js';

/** An endpoint with what its lane says of it. */
export type EndpointRow = Omit<EndpointEntity, 'deletedAt' | 'headersSealed' | 'credentialsSealed'> & {
  pausedAt: Date | null;
  /** Of what is sealed, not of what is in it: tells an audit row that it is another now. Null: nothing is sealed. */
  headerValues: string | null;
  sealedCredentials: string | null;
};

/** What was cancelled while an endpoint was disabled. */
export interface MissedRow {
  n: number;
  /** The oldest that was found. */
  oldestId: string | null;
  complete: boolean;
  /** By the database's clock. */
  now: Date;
}

/** A secret or private key that signs now. */
export interface LiveSecret {
  kind: SignatureKind;
  secret: string;
  /** Of a private key. */
  publicKey: string | null;
  createdAt: Date;
  /** Null for the current one. */
  expiresAt: Date | null;
}

/** What an endpoint answered to a verification that was sent to `url`. */
export interface Proof {
  by: 'challenge' | 'cloudevents';
  url: string;
  /** What it said it takes; null: nothing new. */
  rateLimit: RateLimit | null;
}

/** `headers` and `credentials` with what of them is sealed. */
export type NewEndpoint = Omit<
  EndpointEntity,
  | keyof Credentials
  | 'credentialsSealed'
  | 'headersSealed'
  | 'verifiedAt'
  | 'disabledAt'
  | 'disabledReason'
  | 'createdAt'
  | 'updatedAt'
  | 'deletedAt'
> & { credentials: Credentials };
export type EndpointChanges = Partial<Omit<NewEndpoint, 'id' | 'subscriberId'>>;

type Queries = Pick<Database, 'query'>;
type Opens = Pick<Database, 'query' | 'vault'>;

const COLUMNS = `e.id, e.subscriber_id AS "subscriberId", e.url, e.description, e.event_types AS "eventTypes", e.headers,
  e.metadata, e.timeout_ms AS "timeoutMs", e.retry_policy AS "retryPolicy", e.rate_limit AS "rateLimit",
  e.retry_budget_percent AS "retryBudgetPercent", e.ordered, e.ordered_failure AS "orderedFailure",
  e.on_failure_endpoint_id AS "onFailureEndpointId", e.disable_after_seconds AS "disableAfterSeconds",
  e.disable_attempts_min AS "disableAttemptsMin", e.verification, e.verified_at AS "verifiedAt",
  e.disabled_at AS "disabledAt", e.disabled_reason AS "disabledReason",
  e.signatures, e.signature_headers AS "signatureHeaders", e.auth, e.tls,
  encode(sha256(e.headers_sealed), 'hex') AS "headerValues", encode(sha256(e.credentials_sealed), 'hex') AS "sealedCredentials",
  e.created_at AS "createdAt", e.updated_at AS "updatedAt", l.paused_at AS "pausedAt"`;
const FROM = 'FROM endpoints e JOIN lanes l ON l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id';

/** Endpoints that are not deleted. Every method takes the subscriber as well: an id alone shows and moves nothing. */
export const endpointsRepository = {
  async find(on: Queries, scope: Scope, subscriberId: string, id: string): Promise<EndpointRow | null> {
    const [row] = await on.query<EndpointRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE e.id = $1 AND e.subscriber_id = $2 AND e.deleted_at IS NULL
          AND ($3::uuid IS NULL OR e.subscriber_id = $3)`,
      [id, subscriberId, boundTo(scope)],
    );
    return row ?? null;
  },

  /** The same, and nobody else changes it or its secrets until the end of the transaction. */
  async lock(tx: Tx, scope: Scope, subscriberId: string, id: string): Promise<EndpointRow | null> {
    await tx.query('SELECT 1 FROM endpoints WHERE id = $1 AND subscriber_id = $2 FOR UPDATE', [
      id,
      subscriberId,
    ]);
    return this.find(tx, scope, subscriberId, id);
  },

  /** Newest first. */
  async list(on: Queries, scope: Scope, subscriberId: string, page: PageOfRows): Promise<EndpointRow[]> {
    return on.query<EndpointRow>(
      `SELECT ${COLUMNS} ${FROM} WHERE e.subscriber_id = $1 AND e.deleted_at IS NULL
          AND ($2::uuid IS NULL OR e.subscriber_id = $2) AND ($3::uuid IS NULL OR e.id < $3)
        ORDER BY e.id DESC LIMIT $4`,
      [subscriberId, boundTo(scope), page.after ?? null, page.limit],
    );
  },

  async count(tx: Tx, subscriberId: string): Promise<number> {
    const [row] = await tx.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM endpoints WHERE subscriber_id = $1 AND deleted_at IS NULL',
      [subscriberId],
    );
    return row.n;
  },

  /** Whether there is one, not deleted; it stays so until the end of the transaction. */
  async holds(tx: Tx, subscriberId: string, id: string): Promise<boolean> {
    const rows = await tx.query(
      'SELECT 1 FROM endpoints WHERE id = $1 AND subscriber_id = $2 AND deleted_at IS NULL FOR SHARE',
      [id, subscriberId],
    );
    return rows.length > 0;
  },

  /** The endpoint with its lane: there is never one without the other. */
  async insert(tx: Tx, row: NewEndpoint, windowMax: number): Promise<void> {
    const { credentials, ...columns } = row;
    await tx.manager.insert(EndpointEntity, {
      ...columns,
      ...(await sealHeaders(tx, row, row.headers)),
      ...(await sealCredentials(row.id, credentials, () => tx.vault.keyOf(tx, row.subscriberId))),
    });
    await tx.query('INSERT INTO lanes (endpoint_id, subscriber_id, circuit) VALUES ($1, $2, $3)', [
      row.id,
      row.subscriberId,
      row.verification === 'none' ? 'closed' : 'unverified',
    ]);
    await this.limitWindow(tx, row.subscriberId, row.id, windowMax);
  },

  /** For another rate limit: the lane holds back what it does not let through. What a 429 had lowered is forgotten. */
  async limitWindow(tx: Tx, subscriberId: string, id: string, windowMax: number): Promise<void> {
    await tx.query(
      `UPDATE lanes SET window_max = $3, window_size = least(window_size, $3), rate_factor = 1, rate_reduced_at = NULL
        WHERE endpoint_id = $1 AND subscriber_id = $2`,
      [id, subscriberId, windowMax],
    );
    // What waits for a slot of the old limit asks for one of the new, now.
    await tx.query('DELETE FROM rate_slots WHERE endpoint_id = $1', [id]);
    await tx.query(
      `UPDATE pgboss.job SET start_after = now() WHERE name = $2 AND state < 'active' AND start_after > now() AND id = ANY (ARRAY(
         SELECT d.id FROM deliveries d WHERE d.endpoint_id = $1 AND d.status = 'pending' AND d.set_aside IS NULL
            AND d.place = 'queued' AND d.due_because = 'rate_limit' LIMIT 2000))`,
      [id, DELIVER_QUEUE],
    );
    await tx.query('SELECT pg_notify($1, $2)', [DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })]);
  },

  /** Nothing is to wait any more behind what failed for good: those keys' next deliveries follow. */
  async releaseKeys(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      `WITH freed AS (
         UPDATE ordering_keys SET state = 'ready', delivery_id = NULL, changed_at = now()
          WHERE endpoint_id = $1 AND subscriber_id = $2 AND state = 'blocked' RETURNING 1)
       SELECT pg_notify($3, $4) FROM freed LIMIT 1`,
      [id, subscriberId, DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })],
    );
  },

  /** For another URL: an open circuit sends its probe at once. Wakes the workers at commit when it was open. */
  async probeSoon(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      `WITH lane AS (
         UPDATE lanes SET open_until = now(), trips = greatest(trips - 1, 0)
          WHERE endpoint_id = $1 AND subscriber_id = $2 AND circuit = 'open' AND open_until > now() RETURNING endpoint_id)
       SELECT pg_notify($3, $4) FROM lane`,
      [id, subscriberId, DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })],
    );
  },

  /**
   * For an endpoint that is enabled again: nothing is held against it, but it starts slowly, its backlog is waiting.
   * The same as `reset` of libs/domain/src/lane.ts; one that is unverified stays so. Wakes the workers at commit.
   */
  async restartLane(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      `WITH lane AS (
         UPDATE lanes SET window_size = 1, circuit = CASE circuit WHEN 'unverified' THEN circuit ELSE 'closed' END, trips = 0, opened_at = NULL, open_until = NULL, closed_at = now(),
                probe_id = NULL, consecutive_failures = 0, sample_at = NULL, sample_attempts = 0, sample_failures = 0,
                sample_timeouts = 0, previous_attempts = 0, previous_failures = 0, previous_timeouts = 0,
                failing_since = NULL, failing_attempts = 0, warned_percent = 0, rate_factor = 1, rate_reduced_at = NULL
          WHERE endpoint_id = $1 AND subscriber_id = $2 RETURNING endpoint_id)
       SELECT pg_notify($3, $4) FROM lane`,
      [id, subscriberId, DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })],
    );
  },

  /** For another URL or another proof: it has to be given (again), and its lane holds everything until then. */
  async resetVerification(
    tx: Tx,
    subscriberId: string,
    id: string,
    verification: EndpointEntity['verification'],
  ): Promise<void> {
    await tx.query(
      'UPDATE endpoints SET verification = $3, verified_at = NULL WHERE id = $1 AND subscriber_id = $2',
      [id, subscriberId, verification],
    );
    if (verification === 'none') return this.openVerified(tx, subscriberId, id);
    await tx.query(
      `UPDATE lanes SET circuit = 'unverified', opened_at = NULL, open_until = NULL, probe_id = NULL
        WHERE endpoint_id = $1 AND subscriber_id = $2`,
      [id, subscriberId],
    );
  },

  /** It has proved itself: answers whether it still wants that proof for that URL. Wakes the workers at commit. */
  async setVerified(tx: Tx, subscriberId: string, id: string, proof: Proof): Promise<boolean> {
    const rows = await tx.query(
      `UPDATE endpoints SET verified_at = now(), updated_at = now(), rate_limit = coalesce($5, rate_limit)
        WHERE id = $1 AND subscriber_id = $2 AND url = $3 AND verification = $4 AND deleted_at IS NULL RETURNING 1 AS one`,
      [id, subscriberId, proof.url, proof.by, proof.rateLimit && JSON.stringify(proof.rateLimit)],
    );
    if (rows.length === 0) return false;
    if (proof.rateLimit) await this.limitWindow(tx, subscriberId, id, windowForRate(proof.rateLimit));
    await this.openVerified(tx, subscriberId, id);
    return true;
  },

  /** Nothing is to be proved (any more): what was held follows, slowly at first. */
  async openVerified(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      `WITH lane AS (
         UPDATE lanes SET circuit = 'closed', window_size = least(2, window_max), closed_at = now()
          WHERE endpoint_id = $1 AND subscriber_id = $2 AND circuit = 'unverified' RETURNING endpoint_id)
       SELECT pg_notify($3, $4) FROM lane`,
      [id, subscriberId, DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })],
    );
  },

  async update(tx: Tx, subscriberId: string, id: string, changes: EndpointChanges): Promise<void> {
    const { headers, credentials, ...others } = changes;
    const sealed = {
      ...(headers === undefined ? {} : await sealHeaders(tx, { id, subscriberId }, headers)),
      ...(credentials === undefined
        ? {}
        : await sealCredentials(id, credentials, () => tx.vault.keyOf(tx, subscriberId))),
    };
    await tx.manager.update(
      EndpointEntity,
      { id, subscriberId },
      { ...others, ...sealed, updatedAt: () => 'now()' },
    );
  },

  /** Its headers with their values, which no answer shows. */
  async openHeaders(on: Opens, { id, subscriberId }: EndpointKey): Promise<Record<string, string>> {
    const [row] = await on.query<{ headers: Record<string, string>; sealed: Buffer | null }>(
      'SELECT headers, headers_sealed AS sealed FROM endpoints WHERE id = $1 AND subscriber_id = $2',
      [id, subscriberId],
    );
    if (row.sealed === null) return row.headers;
    const key = await on.vault.findKey(on, subscriberId);
    return key ? headersIn(key, id, row.sealed) : {};
  },

  /** How we prove to its receiver who we are, with what no answer shows. */
  async openCredentials(tx: Tx, endpoint: EndpointRow): Promise<Credentials> {
    const { id, subscriberId } = endpoint;
    const [row] = await tx.query<{ sealed: Buffer | null }>(
      'SELECT credentials_sealed AS sealed FROM endpoints WHERE id = $1 AND subscriber_id = $2',
      [id, subscriberId],
    );
    if (row.sealed === null) return joinCredentials(endpoint, null, () => '');
    const key = await tx.vault.keyOf(tx, subscriberId);
    return joinCredentials(endpoint, row.sealed, (sealed) => key.open(credentialsAt(id), sealed));
  },

  /** The row stays for the history of its deliveries; what is pending ends. No other endpoint's failures are told to it. */
  async delete(tx: Tx, subscriberId: string, id: string): Promise<void> {
    await tx.query(
      'UPDATE endpoints SET deleted_at = now(), updated_at = now() WHERE id = $1 AND subscriber_id = $2 AND deleted_at IS NULL',
      [id, subscriberId],
    );
    await tx.query(
      `UPDATE endpoints SET on_failure_endpoint_id = NULL, updated_at = now()
        WHERE subscriber_id = $2 AND on_failure_endpoint_id = $1 AND deleted_at IS NULL`,
      [id, subscriberId],
    );
  },

  /**
   * What was cancelled because the endpoint was disabled, since then: how many, at most `max`, and how far back they go.
   * Looks through the newest `max` deliveries of the endpoint. `complete`: there are no others.
   */
  async missed(tx: Tx, subscriberId: string, id: string, since: Date, max: number): Promise<MissedRow> {
    const [row] = await tx.query<MissedRow>(
      `WITH newest AS MATERIALIZED (
         SELECT d.id, d.cancel_reason, d.finished_at FROM deliveries d
          WHERE d.endpoint_id = $1 AND d.subscriber_id = $2 ORDER BY d.id DESC LIMIT $4)
       SELECT count(*) FILTER (WHERE missed)::int AS n, min(id::text) FILTER (WHERE missed) AS "oldestId",
              count(*) < $4 AS complete, now() AS now
         FROM (SELECT id, coalesce(cancel_reason = 'endpoint_disabled' AND finished_at >= $3, false) AS missed FROM newest) n`,
      [id, subscriberId, since, max],
    );
    return row;
  },

  /** One that is disabled keeps its time and reason; enabling forgets both. Answers whether that changed anything. */
  async setDisabled(
    tx: Tx,
    subscriberId: string,
    id: string,
    disabled: { reason: string | null } | null,
  ): Promise<boolean> {
    const rows = await tx.query(
      `UPDATE endpoints SET updated_at = now(), disabled_at = CASE WHEN $3 THEN now() END, disabled_reason = $4
        WHERE id = $1 AND subscriber_id = $2 AND (disabled_at IS NOT NULL) <> $3 RETURNING 1 AS one`,
      [id, subscriberId, disabled !== null, disabled?.reason ?? null],
    );
    return rows.length > 0;
  },

  /** Resuming wakes the workers at commit: they give places to what was held. */
  async setPaused(tx: Tx, subscriberId: string, id: string, paused: boolean): Promise<void> {
    await tx.query(
      `WITH lane AS (
         UPDATE lanes SET paused_at = CASE WHEN $3 THEN now() END
          WHERE endpoint_id = $1 AND subscriber_id = $2 AND (paused_at IS NOT NULL) <> $3 RETURNING endpoint_id)
       UPDATE endpoints e SET updated_at = now() FROM lane WHERE e.id = lane.endpoint_id AND e.subscriber_id = $2
       RETURNING CASE WHEN NOT $3 THEN pg_notify($4, $5) END`,
      [id, subscriberId, paused, DUE_CHANNEL, dueNoticePayload({ endpointIds: [id] })],
    );
  },
};

type EndpointKey = Pick<EndpointEntity, 'id' | 'subscriberId'>;

/** The two columns that hold headers: the names to be shown, the values sealed. */
async function sealHeaders(
  tx: Tx,
  { id, subscriberId }: EndpointKey,
  headers: Record<string, string>,
): Promise<Pick<EndpointEntity, 'headers' | 'headersSealed'>> {
  const names = Object.keys(headers);
  if (names.length === 0) return { headers: {}, headersSealed: null };
  const key = await tx.vault.keyOf(tx, subscriberId);
  return {
    headers: Object.fromEntries(names.map((name) => [name, ''])),
    headersSealed: key.seal(headersAt(id), JSON.stringify(headers)),
  };
}

/** Sealed headers of an endpoint. @throws SealError */
export function headersIn(key: DataKey, endpointId: string, sealed: Buffer): Record<string, string> {
  return JSON.parse(key.open(headersAt(endpointId), sealed)) as Record<string, string>;
}

export function headersAt(endpointId: string): Place {
  return { table: 'endpoints', row: endpointId, column: 'headers_sealed' };
}

/** Where a signing secret is sealed. */
export function secretAt(id: string): Place {
  return { table: 'endpoint_secrets', row: id, column: 'secret_sealed' };
}

/** The secrets of an endpoint, newest first. Lock the endpoint before changing them. */
export const endpointSecretsRepository = {
  async live(
    on: Opens,
    subscriberId: string,
    endpointId: string,
    kind: SignatureKind = 'v1',
  ): Promise<LiveSecret[]> {
    const rows = await on.query<LiveSecret & { id: string; secret: string | null; sealed: Buffer }>(
      `SELECT id, kind, secret, secret_sealed AS sealed, public_key AS "publicKey", created_at AS "createdAt", expires_at AS "expiresAt"
         FROM endpoint_secrets
        WHERE endpoint_id = $1 AND subscriber_id = $2 AND kind = $3 AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC`,
      [endpointId, subscriberId, kind],
    );
    const key = rows.some(({ secret }) => secret === null) ? await on.vault.findKey(on, subscriberId) : null;
    return rows.flatMap(({ id, secret, sealed, ...row }) => {
      if (secret !== null) return [{ ...row, secret }];
      // Its subscriber was deleted a moment ago, and its key with it.
      return key ? [{ ...row, secret: key.open(secretAt(id), sealed) }] : [];
    });
  },

  /** Destroys secrets that no attempt signs with any more, an hour after their end: one may still be under way. */
  async deleteExpired(on: Queries): Promise<number> {
    const rows = await on.query(
      `DELETE FROM endpoint_secrets WHERE expires_at < now() - interval '1 hour' RETURNING 1 AS one`,
    );
    return rows.length;
  },

  async insert(
    tx: Tx,
    {
      secret,
      ...row
    }: Pick<EndpointSecretEntity, 'id' | 'subscriberId' | 'endpointId'> &
      Partial<Pick<EndpointSecretEntity, 'kind' | 'publicKey'>> & { secret: string },
  ): Promise<void> {
    const key = await tx.vault.keyOf(tx, row.subscriberId);
    await tx.manager.insert(EndpointSecretEntity, {
      ...row,
      secret: null,
      secretSealed: key.seal(secretAt(row.id), secret),
    });
  },

  /**
   * Every secret of the kind stops signing after so many seconds, or earlier when that was settled before. Cut to the column's
   * milliseconds, which would round up: with 0 seconds they would still be alive for the rest of this transaction.
   */
  async expire(
    tx: Tx,
    subscriberId: string,
    endpointId: string,
    kind: SignatureKind,
    inSeconds: number,
  ): Promise<void> {
    await tx.query(
      `UPDATE endpoint_secrets SET expires_at = least(expires_at, date_trunc('milliseconds', now()) + make_interval(secs => $3))
        WHERE endpoint_id = $1 AND subscriber_id = $2 AND kind = $4 AND (expires_at IS NULL OR expires_at > now())`,
      [endpointId, subscriberId, inSeconds, kind],
    );
  },
};
