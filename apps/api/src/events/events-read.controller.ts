import { Problem } from '@app/contracts';
import { EventPageDto, EventWithDeliveriesDto, ListEventsQueryDto } from '@app/dto';
import { ReadEvents } from '@app/console';
import { fromPublicId } from '@app/domain';
import { Database } from '@app/persistence';
import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { instantFilter, subscriberFilter } from '../deliveries/status-filters.js';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { pageOfLook, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';

@ApiTags('Events')
@Controller('v1/events')
export class EventsReadController {
  constructor(
    private readonly read: ReadEvents,
    private readonly database: Database,
  ) {}

  /** List events, newest first. Each with how its deliveries stand. One that matched nothing is listed and says so. */
  @Get()
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  async list(@CurrentCaller() caller: Caller, @Query() query: ListEventsQueryDto): Promise<EventPageDto> {
    const page = parsePage(query);
    const filter = {
      subscriberId: await subscriberFilter(this.database, caller.scope, query.subscriber),
      type: query.type,
      since: instantFilter('since', query.since),
      until: instantFilter('until', query.until),
    };
    return pageOfLook(await this.read.list(caller.scope, filter, page), page.limit);
  }

  /** Show one event. Its payload, byte for byte as published, and its deliveries. */
  @Get(':event')
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  get(@CurrentCaller() caller: Caller, @Param('event') event: string): Promise<EventWithDeliveriesDto> {
    const id = fromPublicId('evt', event);
    if (id === undefined) throw new Problem('not_found', 'There is no event with this id.');
    return this.read.one(caller.scope, id);
  }
}
