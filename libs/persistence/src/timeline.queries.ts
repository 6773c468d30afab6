import type { Scope } from '@app/contracts';
import type { Trigger } from '@app/domain';
import { Predicates } from './predicates.js';
import { openData, openResponse, type SealedEvent } from './sealed-payloads.js';
import type { OpeningReader } from './status.queries.js';

/** One request that was made, with everything that is kept of it. */
export interface AttemptRow {
  id: string;
  n: number;
  trigger: Trigger;
  status: 'delivered' | 'failed';
  late: boolean;
  url: string;
  scheduledAt: Date;
  startedAt: Date;
  finishedAt: Date;
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
  firstByteMs: number | null;
  totalMs: number;
  statusCode: number | null;
  failure: string | null;
  failureDetail: string | null;
  note: string | null;
  remoteAddress: string | null;
  responseHeaders: string | null;
  responseBody: string | null;
  responseEncoding: 'utf8' | 'base64' | null;
  responseTruncated: boolean;
  /** The response was sealed, and its key is destroyed. */
  responseDestroyed: boolean;
  worker: string;
}

type AttemptStored = Omit<AttemptRow, 'responseDestroyed'> & {
  responseSealed: Buffer | null;
  subscriberId: string;
  kekId: string | null;
  wrapped: Buffer | null;
};

/** Above any number of attempts that a delivery of retained age can have; a list without a limit does not exist. */
export const TIMELINE_ATTEMPTS_MAX = 1000;

/**
 * Every attempt of one delivery, the newest when there are more than the bound. `since` is a little before the
 * delivery was made: it keeps older partitions out, and a worker whose clock is behind in.
 */
export async function attemptsOfDelivery(
  reader: OpeningReader,
  scope: Scope,
  deliveryId: string,
  since: Date,
): Promise<AttemptRow[]> {
  const predicates = new Predicates(scope, 'a.subscriber_id')
    .add('a.delivery_id', '=', deliveryId)
    .within('a.id', since, undefined);
  const rows = await reader.query<AttemptStored>(
    `SELECT a.id, a.n, a.trigger, a.status, a.late, a.url, a.scheduled_at AS "scheduledAt", a.started_at AS "startedAt",
            a.finished_at AS "finishedAt", a.dns_ms AS "dnsMs", a.connect_ms AS "connectMs", a.tls_ms AS "tlsMs",
            a.first_byte_ms AS "firstByteMs", a.total_ms AS "totalMs", a.status_code AS "statusCode", a.failure,
            a.failure_detail AS "failureDetail", a.note, a.remote_address AS "remoteAddress",
            a.response_headers AS "responseHeaders", a.response_body AS "responseBody",
            a.response_encoding AS "responseEncoding", a.response_truncated AS "responseTruncated", a.worker,
            a.response_sealed AS "responseSealed", a.subscriber_id AS "subscriberId", y.kek_id AS "kekId", y.wrapped
       FROM attempts a LEFT JOIN data_keys y ON y.subscriber_id = a.subscriber_id ${predicates.where} ORDER BY a.n DESC LIMIT ${predicates.parameter(TIMELINE_ATTEMPTS_MAX)}`,
    predicates.values,
  );
  return rows.reverse().map((row) => openAttempt(reader, row));
}

function openAttempt(reader: OpeningReader, stored: AttemptStored): AttemptRow {
  const { responseSealed, subscriberId, kekId, wrapped, ...row } = stored;
  if (responseSealed === null) return { ...row, responseDestroyed: false };
  const response = openResponse(reader.vault, { id: row.id, responseSealed, subscriberId, kekId, wrapped });
  return { ...row, ...response, responseDestroyed: response === null };
}

/** What was to be sent and where to; nulls for what is no longer stored. */
export interface DeliveryContents {
  url: string | null;
  /** Whether no request may go there now. */
  stopped: 'endpoint_disabled' | 'endpoint_deleted' | 'subscriber_deleted' | null;
  version: string | null;
  /** Null also when it was sealed and its key is destroyed. */
  data: string | null;
  occurredAt: Date | null;
}

/** The event and the endpoint of a delivery that was read within a scope; keys name the subscriber all the same. */
export async function contentsOfDelivery(
  reader: OpeningReader,
  delivery: { subscriberId: string; eventId: string; endpointId: string },
): Promise<DeliveryContents> {
  const [row] = await reader.query<DeliveryContents & Omit<SealedEvent, 'id' | 'subscriberId'>>(
    `SELECT p.url, e.version, e.data, e.occurred_at AS "occurredAt", e.data_sealed AS "dataSealed", y.kek_id AS "kekId", y.wrapped,
            CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                 WHEN p.deleted_at IS NOT NULL THEN 'endpoint_deleted'
                 WHEN p.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped
       FROM subscribers s
       LEFT JOIN endpoints p ON p.id = $2 AND p.subscriber_id = s.id
       LEFT JOIN events e ON e.id = $3 AND e.subscriber_id = s.id
       LEFT JOIN data_keys y ON y.subscriber_id = s.id
      WHERE s.id = $1`,
    [delivery.subscriberId, delivery.endpointId, delivery.eventId],
  );
  if (row === undefined)
    return { url: null, stopped: 'subscriber_deleted', version: null, data: null, occurredAt: null };
  const { dataSealed, kekId, wrapped, ...contents } = row;
  if (dataSealed === null) return contents;
  const event = { id: delivery.eventId, subscriberId: delivery.subscriberId, dataSealed, kekId, wrapped };
  return { ...contents, data: openData(reader.vault, event) };
}
