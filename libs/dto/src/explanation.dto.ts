import type { ChargeTo, DeliveryStatus, GaveUp } from '@app/domain';

/** What a delivery waits for. */
export class WaitsForDto {
  /**
   * For programs. `nothing`: it is over. `in_flight`: a worker has it in hand. `due_time`: its next try comes later.
   * `circuit`: its endpoint failed so often that it is left alone for a while. `paused`: somebody paused the endpoint.
   * `unverified`: its endpoint has yet to prove that it wants events.
   * `rate_limit`, `budget`: the endpoint takes no more at the moment. `order`: those before it. `backlog`: others that are
   * due for the same endpoint. `worker`: the next free worker, or that one runs at all.
   * @example "due_time"
   */
  code:
    | 'nothing'
    | 'in_flight'
    | 'due_time'
    | 'circuit'
    | 'paused'
    | 'unverified'
    | 'rate_limit'
    | 'order'
    | 'budget'
    | 'backlog'
    | 'worker';

  /**
   * Until when, where that is known.
   * @example "2026-11-22T09:30:05.310Z"
   */
  until: Date | null;

  /**
   * More about it, by code.
   * @example { "because": "retry_schedule", "attempt": 2 }
   */
  detail: Record<string, unknown>;
}

/** How the latest attempt that failed did. */
export class LastFailureDto {
  /**
   * A class of the list at the top of this page.
   * @example "http_5xx"
   */
  class: string;

  /**
   * The status of the answer; null when there was none.
   * @example 503
   */
  statusCode: number | null;

  /**
   * When it ended.
   * @example "2026-11-22T09:30:00.101Z"
   */
  at: Date;

  /**
   * Who has to do something about it: the receiver, whoever configured the endpoint, or we.
   * @example "receiver"
   */
  chargeTo: ChargeTo;

  /**
   * In words.
   * @example "The receiver answered 503."
   */
  sentence: string;
}

/** Something to do about it. */
export class WayToSendDto {
  /**
   * What it does.
   * @example "Send it now; its retry policy goes on from where it is."
   */
  action: string;

  /**
   * The request to make.
   * @example "POST"
   */
  method: 'GET' | 'POST' | 'PATCH';

  /**
   * Where to.
   * @example "/v1/deliveries/dlv_01kany2t2bfd0rk8d6x0p9h3qa/resend"
   */
  path: string;

  /**
   * Its body, where there is one to suggest.
   * @example { "rateLimit": null }
   */
  body?: Record<string, unknown>;
}

/** Why a delivery has not arrived, or how it did. */
export class ExplanationDto {
  /**
   * The delivery.
   * @example "dlv_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  delivery: string;

  /**
   * Where it stands.
   * @example "pending"
   */
  status: DeliveryStatus;

  /**
   * The answer, in one sentence or two.
   * @example "It waits until 2026-11-22T09:30:05.310Z for attempt 2: at 2026-11-22T09:30:00.101Z the receiver answered 503 (http_5xx), and its retry policy says when to try again."
   */
  answer: string;

  /** What it waits for. */
  waitsFor: WaitsForDto;

  /** How the latest attempt that failed did; null when none has. */
  lastFailure: LastFailureDto | null;

  /**
   * Why there is no further try, of one that has failed.
   * @example null
   */
  gaveUp: GaveUp | null;

  /** What would make it go, the first thing first; empty when nothing has to be done, or can be. */
  toSendNow: WayToSendDto[];
}
