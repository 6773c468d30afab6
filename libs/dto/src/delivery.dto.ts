import { EVENT_TYPE_LENGTH_MAX, EXTERNAL_ID_LENGTH_MAX } from '@app/contracts';
import {
  FAILURE_CLASSES,
  type CancelReason,
  type DeliveryStatus,
  type FailureClass,
  type GaveUp,
  type Trigger,
} from '@app/domain';
import { IsIn, IsOptional, IsString, Length, Matches } from 'class-validator';
import { IsPlainText } from './field-rules.js';
import { ENDPOINT_ID, EVENT_TYPE_NAME, INSTANT, SUBSCRIBER } from './filter-patterns.js';
import { PageQueryDto } from './page.dto.js';

/** Filters of the list of deliveries. What is left out does not narrow. */
export class ListDeliveriesQueryDto extends PageQueryDto {
  /**
   * Where the delivery stands: `pending` is still to be sent or tried again, `failed` is given up.
   * @example "failed"
   */
  @IsOptional()
  @IsIn(['pending', 'delivered', 'failed', 'cancelled'])
  status?: DeliveryStatus;

  /**
   * Whose deliveries: the subscriber's id (`sub_…`) or your own `externalId` for it.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @Length(1, EXTERNAL_ID_LENGTH_MAX)
  @Matches(...SUBSCRIBER)
  subscriber?: string;

  /**
   * Deliveries to one endpoint, by its id.
   * @example "ep_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  @IsOptional()
  @Matches(...ENDPOINT_ID)
  endpoint?: string;

  /**
   * Deliveries of events of one type.
   * @example "invoice.paid"
   */
  @IsOptional()
  @Length(1, EVENT_TYPE_LENGTH_MAX)
  @Matches(...EVENT_TYPE_NAME)
  eventType?: string;

  /**
   * How the latest attempt failed: the classes are listed at the top of this page. With `status=failed` it picks dead
   * letters by their cause.
   * @example "connect_refused"
   */
  @IsOptional()
  @IsIn(FAILURE_CLASSES)
  failure?: FailureClass;

  /**
   * Created at this instant or later.
   * @example "2026-11-22T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  since?: string;

  /**
   * Created before this instant.
   * @example "2026-11-23T00:00:00Z"
   */
  @IsOptional()
  @Matches(...INSTANT)
  until?: string;
}

/** When the next attempt of a pending delivery is due, and why then. */
export class NextAttemptDto {
  /**
   * When it is due; null while the delivery is held, because nobody knows when there will be room.
   * @example "2026-11-22T09:35:00.000Z"
   */
  at: Date | null;

  /**
   * Why, for programs. `first_attempt`, `resend`, `replay`, `test`: it is due now, because of that. `retry_schedule`: the
   * attempt before failed. `platform_fault`: a fault of ours stopped the attempt before, which does not count. `in_flight`:
   * it is being sent. `lane_full`: more is waiting for this endpoint than it takes at once; it follows in order. `paused`:
   * it follows when the endpoint is resumed. `retry_after`: the receiver asked to wait. `rate_limit`: the endpoint's limit
   * gives it that moment. `retry_budget`: too many of the endpoint's attempts are retries already. `circuit`: the endpoint
   * has failed so much that it is left alone for a while. `order`: those before it go first. `unverified`: the endpoint
   * has yet to prove that it wants events.
   * @example "retry_schedule"
   */
  code:
    | 'first_attempt'
    | 'retry_schedule'
    | 'platform_fault'
    | 'resend'
    | 'replay'
    | 'test'
    | 'in_flight'
    | 'lane_full'
    | 'paused'
    | 'unverified'
    | 'retry_after'
    | 'rate_limit'
    | 'retry_budget'
    | 'circuit'
    | 'order';

  /**
   * Why, in words.
   * @example "The attempt before failed; the retry schedule says when to try again."
   */
  reason: string;
}

/** One event on its way to one endpoint. */
export class DeliveryDto {
  /** @example "dlv_01kany2t2bfd0rk8d6x0p9h3qa" */
  id: string;

  /**
   * The event: the `webhook-id` that the receiver sees.
   * @example "evt_01kany2t2afaxthq1xzkpc8w5d"
   */
  eventId: string;

  /** @example "ep_01kany2t2bfd0rk8d6x0p9h3qa" */
  endpointId: string;

  /** @example "sub_01kany2t2bfd0rk8d6x0p9h3qa" */
  subscriberId: string;

  /** @example "invoice.paid" */
  eventType: string;

  /**
   * `pending` until it ends `delivered`, `failed` or `cancelled`; a resend makes any of them pending again.
   * @example "pending"
   */
  status: DeliveryStatus;

  /**
   * Why the latest (or, while pending, the next) attempt is made: `event` is the first one, `retry` follows a failure.
   * @example "retry"
   */
  trigger: Trigger;

  /**
   * How many attempts are on record.
   * @example 2
   */
  attempts: number;

  /** @example "2026-11-22T09:30:00.000Z" */
  createdAt: Date;

  /** @example "2026-11-22T09:30:35.120Z" */
  updatedAt: Date;

  /**
   * When it ended; null while it is pending.
   * @example null
   */
  finishedAt: Date | null;

  /**
   * How the latest attempt failed: a class of the list at the top of this page. Null when it did not fail, or none was made.
   * @example "http_5xx"
   */
  failure: string | null;

  /**
   * The status code of the latest answer; null when there was none.
   * @example 503
   */
  statusCode: number | null;

  /**
   * Why there is no further attempt, when it has failed. `permanent`: trying again cannot help. `attempts_exhausted`: the
   * retry policy gives no more tries. `too_old`: the next one would come later than its policy allows. `receiver_abort`:
   * the receiver asked for it. `platform_faults`: faults of ours, a thousand times.
   * @example null
   */
  gaveUp: GaveUp | null;

  /**
   * `critical` ones go before normal ones.
   * @example "normal"
   */
  priority: 'critical' | 'normal';

  /**
   * Among whom it goes in order, at an ordered endpoint: its event's `orderingKey`, or `""` for all events without one.
   * Null: it waits for nobody.
   * @example null
   */
  orderingKey: string | null;

  /**
   * Why nothing is sent any more, when it was cancelled; `staff`: somebody did it by hand.
   * @example null
   */
  cancelReason: CancelReason | null;

  /**
   * The replay that last sent it again, when one did.
   * @example null
   */
  replayId: string | null;

  /** When the next attempt is due and why; null for a delivery that is over. */
  nextAttempt: NextAttemptDto | null;
}

/** A page of deliveries, newest first. */
export class DeliveryPageDto {
  data: DeliveryDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example "eyJ2IjoxLCJhZnRlciI6IjAxOTNjZmE0LTdlMzAtN2Q2Zi05YjZlLTRhNGQ0ZTJiYjFhMiJ9"
   */
  nextCursor: string | null;
}

/** What a resend did. */
export class ResentDto {
  /**
   * `queued`: due now. `brought_forward`: was to be sent later, is due now. `held`: pending, and sent when its endpoint
   * is resumed or has room. `in_flight`: an attempt is being made right now; nothing was added to it.
   * @example "queued"
   */
  result: 'queued' | 'brought_forward' | 'held' | 'in_flight';

  /**
   * The same in words.
   * @example "It is due now."
   */
  detail: string;

  delivery: DeliveryDto;
}
