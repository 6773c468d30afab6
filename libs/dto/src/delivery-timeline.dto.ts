import type { Trigger } from '@app/domain';
import { DeliveryDto } from './delivery.dto.js';
import type { LaneTransitionDto } from './endpoint-health.dto.js';

/** Where the time of an attempt went, in milliseconds; null for a step that was not taken or not reached. */
export class AttemptTimingsDto {
  /** @example 3.1 */
  dnsMs: number | null;
  /** @example 12.4 */
  connectMs: number | null;
  /** @example 28.9 */
  tlsMs: number | null;
  /** @example 96.2 */
  firstByteMs: number | null;
  /** @example 97.5 */
  totalMs: number;
}

/** What the receiver answered, as far as it is kept: 16 KiB of the body. */
export class AttemptResponseDto {
  /**
   * Header name to value.
   * @example { "content-type": "application/json" }
   */
  headers: Record<string, unknown>;

  /**
   * The body, or its beginning; null when there was none.
   * @example "{\"error\":\"database is down\"}"
   */
  body: string | null;

  /**
   * How `body` is written: `utf8` for text, `base64` for bytes that are not.
   * @example "utf8"
   */
  encoding: 'utf8' | 'base64' | null;

  /**
   * Whether the answer's body is not whole here: longer than what is kept, or cut off on its way. The attempt's `note` says which.
   * @example false
   */
  truncated: boolean;

  /**
   * Why headers and body are not shown: `key_destroyed`, they were stored encrypted, as their event was, and the key went
   * with the subscriber.
   * @example null
   */
  missing: 'key_destroyed' | null;
}

/** One request that was made, or, as the last entry of a pending delivery, the one that is to come. */
export class AttemptDto {
  /**
   * Null for the attempt to come, as is everything that is known only afterwards.
   * @example "att_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string | null;

  /**
   * Counts the attempts of this delivery from 1; the receiver sees it as `posthorn-attempt`.
   * @example 1
   */
  n: number;

  /** @example "failed" */
  status: 'delivered' | 'failed' | 'pending';

  /** @example "event" */
  trigger: Trigger;

  /**
   * It is on record, and did not count: by the time it ended, another attempt had been started in its place.
   * @example false
   */
  late: boolean;

  /**
   * Where it was sent; for the attempt to come, where it would be sent now.
   * @example "https://hooks.acme.example.com/posthorn"
   */
  url: string | null;

  /**
   * When it was due; null while the delivery is held.
   * @example "2026-11-22T09:30:00.000Z"
   */
  scheduledAt: Date | null;

  /** @example "2026-11-22T09:30:00.004Z" */
  startedAt: Date | null;

  /** @example "2026-11-22T09:30:00.101Z" */
  finishedAt: Date | null;

  timings: AttemptTimingsDto | null;

  /** @example 503 */
  statusCode: number | null;

  /** @example "http_5xx" */
  failure: string | null;

  /**
   * More about it, such as `connect: ECONNREFUSED`; null when the class says it all.
   * @example null
   */
  failureDetail: string | null;

  /**
   * Something else worth knowing about this attempt, such as why the answer's body was not read to its end.
   * @example null
   */
  note: string | null;

  /**
   * The address that was connected to.
   * @example "203.0.113.7"
   */
  remoteAddress: string | null;

  /** Null when nothing was answered. */
  response: AttemptResponseDto | null;

  /**
   * Which of our processes made it: tell us when you ask about it.
   * @example "worker-3f2a"
   */
  worker: string | null;

  /**
   * Of the attempt to come: when it is due; null while the delivery is held.
   * @example "2026-11-22T09:35:00.000Z"
   */
  dueAt?: Date | null;

  /**
   * Of the attempt to come: why it is due then.
   * @example "The attempt before failed; the retry schedule says when to try again."
   */
  reason?: string;
}

/** The event that is delivered. */
export class DeliveredEventDto {
  /** @example "evt_01kany2t2afaxthq1xzkpc8w5d" */
  id: string;
  /** @example "invoice.paid" */
  type: string;
  /** @example "1" */
  version: string;
  /** @example "2026-11-22T09:30:00.000Z" */
  occurredAt: Date;
  /**
   * The payload as text, byte for byte as published; null when it cannot be read any more.
   * @example "{\"invoice\":\"in_1042\",\"amount\":1999}"
   */
  data: string | null;

  /**
   * Why `data` is null: `key_destroyed`, it was stored encrypted and its key went with the subscriber, which was deleted.
   * @example null
   */
  dataMissing: 'key_destroyed' | null;
}

/** Where it is delivered to, as the endpoint is now. */
export class DeliveredToDto {
  /** @example "ep_01kany2t2bfd0rk8d6x0p9h3qa" */
  id: string;
  /** @example "https://hooks.acme.example.com/posthorn" */
  url: string | null;
  /**
   * Why no request may go there now; null when one may.
   * @example null
   */
  stopped: 'endpoint_disabled' | 'endpoint_deleted' | 'subscriber_deleted' | null;
}

/**
 * What every attempt of the delivery sends. `webhook-timestamp`, `webhook-signature` and `posthorn-attempt` are made anew
 * for each, and the endpoint's custom headers come with it; they are secret and not shown.
 */
export class SentRequestDto {
  /**
   * Always POST.
   * @example "POST"
   */
  method: 'POST';
  /**
   * Where the next attempt would go: the endpoint's URL as it is now. Each attempt names its own.
   * @example "https://hooks.acme.example.com/posthorn"
   */
  url: string | null;
  /**
   * The headers that are equal in every attempt.
   * @example { "content-type": "application/json", "webhook-id": "evt_01kany2t2afaxthq1xzkpc8w5d" }
   */
  headers: Record<string, string>;
  /**
   * The body, byte for byte: what is signed.
   * @example "{\"id\":\"evt_01kany2t2afaxthq1xzkpc8w5d\",\"type\":\"invoice.paid\",\"version\":\"1\",\"timestamp\":\"2026-11-22T09:30:00.000Z\",\"data\":{\"invoice\":\"in_1042\",\"amount\":1999}}"
   */
  body: string;
}

/** One delivery with its whole story. */
export class DeliveryWithTimelineDto extends DeliveryDto {
  /** Null when the event is no longer stored. */
  event: DeliveredEventDto | null;

  endpoint: DeliveredToDto;

  /** What is sent; null when the event is no longer stored. */
  request: SentRequestDto | null;

  /** Every attempt in order; of a pending delivery the last is the one to come. */
  timeline: AttemptDto[];

  /** What happened to its endpoint while it was pending, such as an open circuit: the newest 50, in order. */
  laneTransitions: LaneTransitionDto[];
}
