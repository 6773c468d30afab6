import type { Database } from './database.js';

/** A delivery and its event, as one attempt needs them. */
export interface DeliveryForAttempt {
  id: string;
  subscriberId: string;
  eventId: string;
  endpointId: string;
  status: string;
  trigger: 'event' | 'retry' | 'resend' | 'replay' | 'test';
  /** Which issue of the delivery's ticket this is; T2 settles only the one that it was loaded with. */
  ticket: number;
  /** Attempts of the current run, which the retry schedule counts. */
  tries: number;
  /** Attempts of the current run that were cut short by a fault of ours. */
  faults: number;
  /** Attempts on record in all. */
  attempts: number;
  dueAt: Date;
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
  /** Secrets that sign now, newest first. */
  secrets: string[];
}

interface DeliveryRow {
  id: string;
  subscriber_id: string;
  event_id: string;
  endpoint_id: string;
  status: string;
  trigger: DeliveryForAttempt['trigger'];
  ticket: number;
  tries: number;
  faults: number;
  attempts: number;
  due_at: Date;
  type: string | null;
  version: string;
  data: string;
  occurred_at: Date;
  traceparent: string | null;
}

/** What the pump reads before a round of attempts: two statements, side by side, whatever the number of jobs. */
export class PumpRepository {
  constructor(private readonly database: Database) {}

  async loadDeliveries(ids: string[]): Promise<DeliveryForAttempt[]> {
    const rows = await this.database.prepared<DeliveryRow>(
      'pump_deliveries',
      `SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.status, d.trigger, d.ticket, d.tries, d.faults, d.attempts,
              d.due_at, e.type, e.version, e.data, e.occurred_at, e.traceparent
         FROM unnest($1::uuid[]) AS j (id)
         JOIN deliveries d ON d.id = j.id
         LEFT JOIN events e ON e.id = d.event_id AND e.subscriber_id = d.subscriber_id`,
      [ids],
    );
    return rows.map((row) => ({
      id: row.id,
      subscriberId: row.subscriber_id,
      eventId: row.event_id,
      endpointId: row.endpoint_id,
      status: row.status,
      trigger: row.trigger,
      ticket: row.ticket,
      tries: row.tries,
      faults: row.faults,
      attempts: row.attempts,
      dueAt: row.due_at,
      event:
        row.type === null
          ? null
          : {
              type: row.type,
              version: row.version,
              data: row.data,
              occurredAt: row.occurred_at,
              traceparent: row.traceparent,
            },
    }));
  }

  async loadEndpoints(ids: string[]): Promise<Map<string, EndpointForAttempt>> {
    const rows = await this.database.prepared<EndpointForAttempt>(
      'pump_endpoints',
      `SELECT e.id, e.url, e.headers, e.timeout_ms AS "timeoutMs",
              CASE WHEN s.deleted_at IS NOT NULL THEN 'subscriber_deleted'
                   WHEN e.deleted_at IS NOT NULL THEN 'endpoint_deleted'
                   WHEN e.disabled_at IS NOT NULL THEN 'endpoint_disabled' END AS stopped,
              l.paused_at IS NOT NULL AS paused,
              array(SELECT k.secret FROM endpoint_secrets k
                     WHERE k.endpoint_id = e.id AND (k.expires_at IS NULL OR k.expires_at > now())
                     ORDER BY k.id DESC) AS secrets
         FROM endpoints e
         JOIN subscribers s ON s.id = e.subscriber_id
         JOIN lanes l ON l.endpoint_id = e.id
        WHERE e.id = ANY($1::uuid[])`,
      [ids],
    );
    return new Map(rows.map((row) => [row.id, row]));
  }
}
