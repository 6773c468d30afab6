import type { RateLimitDto } from './endpoint-policies.dto.js';

/** Something that happened to an endpoint: what its deliveries waited for. */
export class LaneTransitionDto {
  /**
   * When.
   * @example "2026-11-22T09:30:00.000Z"
   */
  at: Date;

  /**
   * What: `circuit_opened`, `circuit_half_opened`, `circuit_closed`, `failing`, `disabled`, `recovered`, `rate_lowered`,
   * `verified`.
   * @example "circuit_opened"
   */
  kind: string;

  /**
   * More about it, by kind.
   * @example { "reason": "consecutive_failures", "until": "2026-11-22T09:30:31.000Z" }
   */
  detail: Record<string, unknown>;

  /**
   * The same in words.
   * @example "The circuit opened because five attempts in a row failed: nothing is sent until 2026-11-22T09:30:31.000Z, then one probe."
   */
  text: string;
}

/** Whether anything is sent. An open circuit leaves a receiver that only fails alone, and sends one probe from time to time. */
export class CircuitDto {
  /**
   * `closed`: deliveries are sent. `open`: none is. `half_open`: one probe is under way. `unverified`: none is, until the
   * endpoint is verified.
   * @example "closed"
   */
  state: 'closed' | 'open' | 'half_open' | 'unverified';

  /**
   * Since when it is so, or open at all; null when it has never been open.
   * @example null
   */
  since: Date | null;

  /**
   * Until when nothing is sent.
   * @example null
   */
  openUntil: Date | null;

  /**
   * Why it opened last.
   * @example null
   */
  reason: string | null;

  /**
   * How often it opened without ten calm minutes in between; each time it stays open for longer.
   * @example 0
   */
  trips: number;

  /**
   * When one delivery is sent as a probe, if any waits.
   * @example null
   */
  nextProbeAt: Date | null;
}

/** The rate limit at work. */
export class RateInEffectDto {
  /** As it was set. */
  limit: RateLimitDto;

  /**
   * What the limit is multiplied with now; below 1 after a 429, when the limit is adaptive.
   * @example 1
   */
  factor: number;

  /**
   * When the next request may be made.
   * @example "2026-11-22T09:30:00.000Z"
   */
  nextSlotAt: Date;
}

/** What the attempts of a span came to, to five minutes. */
export class HealthFiguresDto {
  /**
   * How many were made.
   * @example 1042
   */
  attempts: number;

  /**
   * How many were answered 2xx.
   * @example 1040
   */
  delivered: number;

  /**
   * How many were not.
   * @example 2
   */
  failed: number;

  /**
   * The share that was answered 2xx; null when none was made.
   * @example 0.9981
   */
  successRatio: number | null;

  /**
   * What half of the attempts took at most, in milliseconds.
   * @example 84.2
   */
  p50Ms: number | null;

  /**
   * What 95 of a hundred attempts took at most, in milliseconds.
   * @example 260.7
   */
  p95Ms: number | null;
}

/** Of an endpoint that only fails. */
export class FailingDto {
  /**
   * The first failure that no success has followed.
   * @example "2026-11-20T09:30:00.000Z"
   */
  since: Date;

  /**
   * How many failures since.
   * @example 31
   */
  attempts: number;

  /**
   * The last step towards being disabled that was told: 0, 50, 75 or 100.
   * @example 0
   */
  warnedPercent: number;

  /**
   * When it is disabled at the earliest, if it goes on like this; null: never.
   * @example "2026-11-25T09:30:00.000Z"
   */
  disablesAt: Date | null;
}

/** An ordering key whose deliveries wait for one that has failed. */
export class BlockedKeyDto {
  /**
   * The `orderingKey`; `""` for events without one.
   * @example "customer-4711"
   */
  key: string;

  /**
   * The delivery that failed: resend or cancel it.
   * @example "dlv_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  delivery: string;
}

/** What waits in order. */
export class OrderingHealthDto {
  /**
   * How many keys are blocked, at most 1000.
   * @example 1
   */
  blockedKeys: number;

  /** The ten that have been blocked longest. */
  blocked: BlockedKeyDto[];
}

/** How an endpoint does, and what holds its deliveries back. */
export class EndpointHealthDto {
  /**
   * `enabled`, `paused`, `unverified` or `disabled`.
   * @example "enabled"
   */
  status: 'enabled' | 'disabled' | 'paused' | 'unverified';

  /**
   * Whether it is paused by hand.
   * @example false
   */
  paused: boolean;

  /** Whether anything is sent. */
  circuit: CircuitDto;

  /**
   * How many deliveries may be queued at once; it grows with success and shrinks with failure.
   * @example 128
   */
  window: number;

  /**
   * The most that the window may grow to.
   * @example 2000
   */
  windowMax: number;

  /**
   * Deliveries that are due and have a place.
   * @example 0
   */
  queued: number;

  /**
   * Deliveries that wait for a place, for their turn, or for a circuit to close.
   * @example 0
   */
  held: number;

  /**
   * Deliveries that wait for a moment, such as their next try.
   * @example 0
   */
  waiting: number;

  /**
   * Since when the oldest of them is due, or when it will be; null when nothing is pending.
   * @example null
   */
  oldestDueAt: Date | null;

  /** The rate limit at work; null: there is none. */
  rate: RateInEffectDto | null;

  /** The last hour. */
  lastHour: HealthFiguresDto;

  /** The last 24 hours. */
  lastDay: HealthFiguresDto;

  /** Since when it only fails; null: its last attempt succeeded, or none was made. */
  failing: FailingDto | null;

  /** What happened to it, the newest 20. */
  transitions: LaneTransitionDto[];

  /** Of an ordered endpoint: what is blocked. Null: it is not ordered. */
  ordering: OrderingHealthDto | null;
}
