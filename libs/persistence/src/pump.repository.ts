import {
  uuidFloor,
  uuidTimeMs,
  type LaneState,
  type RateLimit,
  type RetryPolicyInput,
  type Trigger,
} from '@app/domain';
import type { DataKey, Place } from '@app/sealing';
import { arrayOf } from './array-of.js';
import { boundsOf } from './bounds-of.js';
import { bytesOf, instantOf, isTrue, jsonOf, listOfBytes, textsOf, type Cells } from './cells.js';
import type { Database, Tx } from './database.js';
import { headersAt, secretAt } from './endpoints.repository.js';
import { Generations } from './generations.js';
import { dataAt } from './sealed-payloads.js';
import {
  credentialsAt,
  joinCredentials,
  NO_CREDENTIALS,
  type Credentials,
  type ShownCredentials,
  type SignatureKind,
} from './credentials.js';

/** A delivery and its event, as one attempt needs them. */
export interface DeliveryForAttempt {
  id: string;
  subscriberId: string;
  eventId: string;
  endpointId: string;
  status: string;
  trigger: Trigger;
  critical: boolean;
  orderingKey: string | null;
  /** Since the present run began, on the database's clock. */
  ageSeconds: number;
  /** What its event type says, when it says something. */
  retryPolicy: RetryPolicyInput | null;
  /** Which issue of the delivery's ticket this is; T2 settles only the one that it was loaded with. */
  ticket: number;
  /** Attempts of the current run, which the retry schedule counts. */
  tries: number;
  /** Attempts of the current run that were cut short by a fault of ours. */
  faults: number;
  /** Attempts on record in all. */
  attempts: number;
  /** Null when it is over. */
  dueAt: Date | null;
  /** Its event is stored sealed, and so are the responses of its attempts, with this. */
  dataKey: DataKey | null;
  /** Its event was sealed with a key that is destroyed: the subscriber was deleted. */
  destroyed: boolean;
  /** Its event is sealed and does not open: no attempt can be made, and the fault is ours. */
  unreadable: boolean;
  /** Null when the event is no longer stored. */
  event: { type: string; version: string; data: string; occurredAt: Date; traceparent: string | null } | null;
}

/** An endpoint as it is now, read anew for every attempt: a change is felt by the next request. */
export interface EndpointForAttempt {
  id: string;
  url: string;
  headers: Record<string, string>;
  timeoutMs: number;
  /** Why no request may go there, or null. */
  stopped: 'endpoint_disabled' | 'endpoint_deleted' | 'subscriber_deleted' | null;
  paused: boolean;
  subscriberId: string;
  /** Its own; null: its event type's or the default. */
  retryPolicy: RetryPolicyInput | null;
  retryBudgetPercent: number;
  rateLimit: RateLimit | null;
  rateFactor: number;
  rateReducedAt: Date | null;
  orderedFailure: 'block' | 'skip';
  verification: 'none' | 'challenge' | 'cloudevents';
  /** Another endpoint is to be told of what fails for good. */
  tellsFailures: boolean;
  window: number;
  circuit: LaneState['circuit'];
  /** The one delivery that may be tried while half open. */
  probeId: string | null;
  /** How its receiver wants to be shown who we are. */
  credentials: Credentials;
  /** Private keys that sign now, newest first. */
  privateKeys: string[];
  /** Secrets that sign now, newest first. */
  secrets: string[];
  /** What is sealed of it does not open: no attempt can be made, and the fault is ours. */
  unreadable: boolean;
}

/** An endpoint as it is stored, with the wrapped key of what is sealed of it. */
type EndpointStored = Omit<EndpointForAttempt, 'credentials' | 'privateKeys' | 'secrets' | 'unreadable'> &
  ShownCredentials & {
    credentialsSealed: Buffer | null;
    headersSealed: Buffer | null;
    kekId: string | null;
    wrapped: Buffer | null;
    secretIds: string[];
    secretKinds: SignatureKind[];
    plainSecrets: (string | null)[];
    sealedSecrets: (Buffer | null)[];
  };

const EVENT_AT = 15;

// Endpoints of a worker that have something to do, of 4 KB each.
const OPENED_MAX = 2000;
// As the vault keeps the keys that open them: with the key of a subscriber its secrets are gone.
const OPENED_MS = 30_000;

// Both ids are made by one process while it accepts; a batch of a thousand takes a second.
const EVENT_BEFORE_MS = 600_000;
const LOWEST_ID = '00000000-0000-0000-0000-000000000000';
const HIGHEST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

type Reader = Pick<Tx, 'preparedCells'>;

// They take turns on one connection, which is dearer than two side by side as soon as rows are many.
const FEW = 8;

/** What the pump reads before a round of attempts: two statements, whatever the number of jobs. */
export class PumpRepository {
  private readonly opened = new Generations<{ cells: Cells; endpoint: EndpointForAttempt }>(
    OPENED_MAX,
    OPENED_MS,
  );

  constructor(private readonly database: Pick<Database, 'preparedCells' | 'together' | 'vault'>) {}

  /** What these deliveries, and their endpoints, are now. */
  async load(
    deliveryIds: string[],
    endpointIds: string[],
  ): Promise<[DeliveryForAttempt[], Map<string, EndpointForAttempt>]> {
    const both = (on: Reader) =>
      Promise.all([this.loadDeliveries(deliveryIds, on), this.loadEndpoints(endpointIds, on)]);
    return deliveryIds.length <= FEW ? this.database.together(both) : both(this.database);
  }

  /** Most events were accepted with their delivery; those of a replay to another endpoint may be of any day. */
  async loadDeliveries(ids: string[], on: Reader = this.database): Promise<DeliveryForAttempt[]> {
    const [lowest, highest] = boundsOf(ids);
    const since = lowest === null ? null : uuidFloor(Math.max(0, uuidTimeMs(lowest) - EVENT_BEFORE_MS));
    const rows = await this.loadRows(ids, [since, highest], on);
    const older = rows.filter(({ event }) => event === null).map(({ id }) => id);
    if (older.length === 0) return rows;
    const found = await this.loadRows(older, [LOWEST_ID, HIGHEST_ID], on);
    return [...rows.filter(({ event }) => event !== null), ...found];
  }

  /** The bounds prune: without them every day's partitions are opened for each group. */
  private async loadRows(
    ids: string[],
    eventBounds: readonly [string | null, string | null],
    on: Reader,
  ): Promise<DeliveryForAttempt[]> {
    const rows = await on.preparedCells(
      'pump_deliveries',
      `SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.status, d.trigger, d.ticket, d.tries, d.faults, d.attempts,
              d.due_at, d.critical, d.ordering_key, extract(epoch FROM now() - d.run_at)::float8 AS age_seconds, t.retry_policy, e.type, e.version, e.data, e.occurred_at, e.traceparent,
              e.data_sealed, CASE WHEN e.data_sealed IS NOT NULL THEN (SELECT y.kek_id FROM data_keys y WHERE y.subscriber_id = d.subscriber_id) END AS kek_id,
              CASE WHEN e.data_sealed IS NOT NULL THEN (SELECT y.wrapped FROM data_keys y WHERE y.subscriber_id = d.subscriber_id) END AS wrapped
         FROM deliveries d
         LEFT JOIN events e ON e.id = d.event_id AND e.subscriber_id = d.subscriber_id AND e.id >= $4::uuid AND e.id <= $5::uuid
         LEFT JOIN event_types t ON t.name = d.event_type
        WHERE d.id = ANY($1::uuid[]) AND d.id >= $2::uuid AND d.id <= $3::uuid`,
      [arrayOf(ids), ...boundsOf(ids), ...eventBounds],
    );
    return rows.map((cells) => this.deliveryOf(cells));
  }

  private deliveryOf(cells: Cells): DeliveryForAttempt {
    // In the order of the SELECT above; the event's follow.
    const [id, subscriberId, eventId, endpointId, status, trigger, ticket, tries, faults, attempts] = cells;
    const [dueAt, critical, orderingKey, ageSeconds, retryPolicy] = cells.slice(10, EVENT_AT);
    const { event, dataKey, destroyed, unreadable } = this.eventOf(
      subscriberId!,
      eventId!,
      cells.slice(EVENT_AT),
    );
    return {
      id: id!,
      subscriberId: subscriberId!,
      eventId: eventId!,
      endpointId: endpointId!,
      status: status!,
      trigger: trigger as Trigger,
      ticket: Number(ticket),
      tries: Number(tries),
      faults: Number(faults),
      attempts: Number(attempts),
      dueAt: dueAt === null ? null : instantOf(dueAt),
      critical: isTrue(critical),
      orderingKey,
      ageSeconds: Number(ageSeconds),
      retryPolicy: jsonOf(retryPolicy) as RetryPolicyInput | null,
      event,
      dataKey,
      destroyed,
      unreadable,
    };
  }

  /** One that does not open spoils no other. */
  private eventOf(
    subscriberId: string,
    eventId: string,
    [type, version, data, occurredAt, traceparent, sealed, kekId, wrapped]: Cells,
  ): Pick<DeliveryForAttempt, 'event' | 'dataKey' | 'destroyed' | 'unreadable'> {
    const state = { dataKey: null, destroyed: false, unreadable: false };
    if (type === null) return { ...state, event: null };
    const event = {
      type,
      version: version!,
      data: data ?? '',
      occurredAt: instantOf(occurredAt!),
      traceparent,
    };
    if (sealed === null) return { ...state, event };
    if (kekId === null || wrapped === null) return { ...state, event, destroyed: true };
    try {
      const dataKey = this.database.vault.unwrap({ subscriberId, kekId, wrapped: bytesOf(wrapped)! });
      return {
        ...state,
        event: { ...event, data: dataKey.open(dataAt(eventId), bytesOf(sealed)!) },
        dataKey,
      };
    } catch {
      return { ...state, event, unreadable: true };
    }
  }

  async loadEndpoints(ids: string[], on: Reader = this.database): Promise<Map<string, EndpointForAttempt>> {
    const rows = await on.preparedCells(
      'pump_endpoints',
      `SELECT e.id, e.url, e.headers, e.headers_sealed AS "headersSealed", e.signatures, e.signature_headers AS "signatureHeaders",
              e.auth, e.tls, e.credentials_sealed AS "credentialsSealed", e.timeout_ms AS "timeoutMs",
              CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                   WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted'
                   WHEN e.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
              l.paused_at IS NOT NULL AS paused, e.subscriber_id AS "subscriberId", e.retry_policy AS "retryPolicy",
              e.retry_budget_percent AS "retryBudgetPercent", e.rate_limit AS "rateLimit", l.rate_factor AS "rateFactor",
              l.rate_reduced_at AS "rateReducedAt", e.ordered_failure AS "orderedFailure",
              e.verification, e.on_failure_endpoint_id IS NOT NULL AS "tellsFailures", l.window_size AS "window", l.circuit, l.probe_id AS "probeId",
              y.kek_id AS "kekId", y.wrapped, k.ids AS "secretIds", k.kinds AS "secretKinds", k.plain AS "plainSecrets", k.sealed AS "sealedSecrets"
         FROM endpoints e
         JOIN subscribers s ON s.id = e.subscriber_id
         JOIN lanes l ON l.endpoint_id = e.id
         LEFT JOIN data_keys y ON y.subscriber_id = e.subscriber_id
        CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(k.id ORDER BY k.id DESC), '{}') AS ids, array_agg(k.kind ORDER BY k.id DESC) AS kinds, array_agg(k.secret ORDER BY k.id DESC) AS plain,
                      array_agg(k.secret_sealed ORDER BY k.id DESC) AS sealed
                 FROM endpoint_secrets k WHERE k.endpoint_id = e.id AND (k.expires_at IS NULL OR k.expires_at > now())) k
        WHERE e.id = ANY($1::uuid[])`,
      [arrayOf(ids)],
    );
    return new Map(rows.map((cells) => [cells[0]!, this.endpointOf(cells)]));
  }

  /** Read anew, opened only when something has changed: that is ten times as dear, and of a lane something changes always. */
  private endpointOf(cells: Cells): EndpointForAttempt {
    const id = cells[0]!;
    const known = this.opened.get(id);
    if (known !== undefined && differOnlyInLane(known.cells, cells))
      return { ...known.endpoint, ...laneOf(cells) };
    // Asked for again and again, an old one would not age.
    this.opened.delete(id);
    const endpoint = this.open(storedOf(cells));
    if (!endpoint.unreadable && endpoint.stopped === null) this.opened.set(id, { cells, endpoint });
    return endpoint;
  }

  /** Of one that was deleted with its subscriber nothing opens, and nothing is sent to it. One bad row spoils no other. */
  private open(stored: EndpointStored): EndpointForAttempt {
    const { headersSealed, credentialsSealed, kekId, wrapped, ...unsealed } = stored;
    const { secretIds, secretKinds, plainSecrets, sealedSecrets, ...shown } = unsealed;
    const { signatures, signatureHeaders, auth, tls, ...row } = shown;
    const closed = { ...row, headers: {}, credentials: NO_CREDENTIALS, privateKeys: [], secrets: [] };
    if (row.stopped === 'subscriber_deleted') return { ...closed, unreadable: false };
    try {
      const key =
        wrapped && this.database.vault.unwrap({ subscriberId: row.subscriberId, kekId: kekId!, wrapped });
      const opened = (place: Place, sealed: Buffer): string => {
        if (!key) throw new Error(`Bug: subscriber ${row.subscriberId} has no data key`);
        return key.open(place, sealed);
      };
      const ofKind = (kind: SignatureKind): string[] =>
        secretIds.flatMap((id, at) =>
          secretKinds[at] === kind ? [plainSecrets[at] ?? opened(secretAt(id), sealedSecrets[at]!)] : [],
        );
      return {
        ...row,
        headers: headersSealed
          ? (JSON.parse(opened(headersAt(row.id), headersSealed)) as Record<string, string>)
          : row.headers,
        credentials: joinCredentials(
          { signatures, signatureHeaders, auth, tls },
          credentialsSealed,
          (sealed) => opened(credentialsAt(row.id), sealed),
        ),
        privateKeys: ofKind('v1a'),
        secrets: ofKind('v1'),
        unreadable: false,
      };
    } catch {
      return { ...closed, unreadable: true };
    }
  }
}

/** The columns of an endpoint's lane, by their place in the SELECT of loadEndpoints. */
const LANE = { paused: 11, rateFactor: 16, rateReducedAt: 17, window: 21, circuit: 22, probeId: 23 };
const LANE_PLACES: ReadonlySet<number> = new Set(Object.values(LANE));

function differOnlyInLane(a: Cells, b: Cells): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at] && !LANE_PLACES.has(at)) return false;
  return true;
}

function laneOf(
  cells: Cells,
): Pick<EndpointForAttempt, 'paused' | 'rateFactor' | 'rateReducedAt' | 'window' | 'circuit' | 'probeId'> {
  const rateReducedAt = cells[LANE.rateReducedAt];
  return {
    paused: isTrue(cells[LANE.paused]),
    rateFactor: Number(cells[LANE.rateFactor]),
    rateReducedAt: rateReducedAt === null ? null : instantOf(rateReducedAt),
    window: Number(cells[LANE.window]),
    circuit: cells[LANE.circuit] as LaneState['circuit'],
    probeId: cells[LANE.probeId],
  };
}

function storedOf(cells: Cells): EndpointStored {
  // In the order of the SELECT of loadEndpoints; the places that are left out are the lane's.
  const [id, url, headers, headersSealed, signatures, signatureHeaders, auth, tls, credentialsSealed] = cells;
  const [timeoutMs, stopped, , subscriberId, retryPolicy, retryBudgetPercent, rateLimit] = cells.slice(9, 16);
  const [orderedFailure, verification, tellsFailures] = cells.slice(18, 21);
  const [kekId, wrapped, secretIds, secretKinds, plainSecrets, sealedSecrets] = cells.slice(24);
  return {
    id: id!,
    url: url!,
    headers: jsonOf(headers) as EndpointStored['headers'],
    headersSealed: bytesOf(headersSealed),
    signatures: textsOf(signatures) as SignatureKind[],
    signatureHeaders: jsonOf(signatureHeaders) as EndpointStored['signatureHeaders'],
    auth: jsonOf(auth) as EndpointStored['auth'],
    tls: jsonOf(tls) as EndpointStored['tls'],
    credentialsSealed: bytesOf(credentialsSealed),
    timeoutMs: Number(timeoutMs),
    stopped: stopped as EndpointStored['stopped'],
    subscriberId: subscriberId!,
    retryPolicy: jsonOf(retryPolicy) as RetryPolicyInput | null,
    retryBudgetPercent: Number(retryBudgetPercent),
    rateLimit: jsonOf(rateLimit) as EndpointStored['rateLimit'],
    orderedFailure: orderedFailure as EndpointStored['orderedFailure'],
    verification: verification as EndpointStored['verification'],
    tellsFailures: isTrue(tellsFailures),
    kekId,
    wrapped: bytesOf(wrapped),
    secretIds: textsOf(secretIds) as string[],
    secretKinds: textsOf(secretKinds) as SignatureKind[],
    plainSecrets: textsOf(plainSecrets),
    sealedSecrets: listOfBytes(sealedSecrets),
    ...laneOf(cells),
  };
}
