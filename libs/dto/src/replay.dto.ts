import { EVENT_TYPE_LENGTH_MAX, EXTERNAL_ID_LENGTH_MAX } from '@app/contracts';
import { IsBoolean, IsIn, IsOptional, IsString, Length, Matches } from 'class-validator';
import { IsPlainText } from './field-rules.js';
import { ENDPOINT_ID, EVENT_TYPE_NAME, INSTANT, SUBSCRIBER } from './filter-patterns.js';
import { PageQueryDto } from './page.dto.js';

/** Which deliveries to send again. */
export class StartReplayDto {
  /**
   * Whose deliveries: the subscriber's id (`sub_…`) or your own `externalId` for it. Default: of every subscriber that the key may see.
   * @example "acme-corp"
   */
  @IsOptional()
  @IsString()
  @IsPlainText()
  @Length(1, EXTERNAL_ID_LENGTH_MAX)
  @Matches(...SUBSCRIBER)
  subscriber?: string;

  /**
   * Deliveries to one endpoint.
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
   * Deliveries that ended so. Pending ones are never replayed. Default: `failed`.
   * @example "failed"
   */
  @IsOptional()
  @IsIn(['failed', 'delivered', 'cancelled'])
  status?: 'failed' | 'delivered' | 'cancelled';

  /**
   * Deliveries created at this instant or later.
   * @example "2026-11-22T00:00:00Z"
   */
  @Matches(...INSTANT)
  since: string;

  /**
   * And before this instant; at most 31 days after `since`.
   * @example "2026-11-23T00:00:00Z"
   */
  @Matches(...INSTANT)
  until: string;

  /**
   * Only count what would be sent again; nothing is written.
   * @example true
   */
  @IsOptional()
  @IsBoolean()
  dryRun?: boolean;
}

/** A replay that was started, or what it would move. */
export class StartedReplayDto {
  /**
   * Where to see its progress; null for a dry run.
   * @example "rpl_01kany2t2bfd0rk8d6x0p9h3qa"
   */
  id: string | null;

  /**
   * How many deliveries match; at least so many when `countedTo` says an instant.
   * @example 1042
   */
  matched: number;

  /**
   * Null when all that match are counted. Where few match of very many, counting ends after some seconds: the deliveries that were
   * created before this instant are counted.
   * @example null
   */
  countedTo: Date | null;

  /**
   * The same replay was running already; this is it, and nothing was added.
   * @example false
   */
  alreadyRunning: boolean;
}

/** What a replay sends again. */
export class ReplayFiltersDto {
  /** @example "sub_01kany2t2bfd0rk8d6x0p9h3qa" */
  subscriber: string | null;
  /** @example "ep_01kany2t2bfd0rk8d6x0p9h3qa" */
  endpoint: string | null;
  /** @example "invoice.paid" */
  eventType: string | null;
  /** @example "failed" */
  status: 'failed' | 'delivered' | 'cancelled';
  /** @example "2026-11-22T00:00:00.000Z" */
  since: Date;
  /** @example "2026-11-23T00:00:00.000Z" */
  until: Date;
}

/** A replay and how far it is. */
export class ReplayDto {
  /** @example "rpl_01kany2t2bfd0rk8d6x0p9h3qa" */
  id: string;

  /** @example "running" */
  state: 'running' | 'done' | 'cancelled';

  filters: ReplayFiltersDto;

  /**
   * Deliveries that matched when it was started; at least so many when `countedTo` says an instant.
   * @example 1042
   */
  matched: number;

  /**
   * Null when all that match are counted, as they are once it is done; else those that were created before this instant.
   * @example null
   */
  countedTo: Date | null;

  /**
   * It has come to the deliveries that were created at this instant; null before its first step.
   * @example "2026-11-22T17:12:00.000Z"
   */
  lookedTo: Date | null;

  /**
   * Made pending again so far.
   * @example 500
   */
  resent: number;

  /**
   * Left alone so far: their endpoint is disabled or deleted, or they had moved on by themselves.
   * @example 3
   */
  skipped: number;

  /** @example "2026-11-22T09:30:00.000Z" */
  createdAt: Date;

  /** @example "2026-11-22T09:30:02.000Z" */
  updatedAt: Date;

  /**
   * Null while it runs.
   * @example null
   */
  finishedAt: Date | null;
}

/** A page of replays, newest first. */
export class ReplayPageDto {
  data: ReplayDto[];

  /**
   * Give it as `cursor` to get the next page; null on the last one.
   * @example "eyJ2IjoxLCJhZnRlciI6IjAxOTNjZmE0LTdlMzAtN2Q2Zi05YjZlLTRhNGQ0ZTJiYjFhMiJ9"
   */
  nextCursor: string | null;
}

/** Filters of the list of replays. */
export class ListReplaysQueryDto extends PageQueryDto {
  /**
   * Only replays in this state.
   * @example "running"
   */
  @IsOptional()
  @IsIn(['running', 'done', 'cancelled'])
  state?: 'running' | 'done' | 'cancelled';
}
