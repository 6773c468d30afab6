import { Problem } from '@app/contracts';
import { ListReplaysQueryDto, ReplayDto, ReplayPageDto, StartedReplayDto, StartReplayDto } from '@app/dto';
import { findSubscriber, Replays, StartReplay } from '@app/console';
import { auditChange, fromPublicId } from '@app/domain';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { endpointFilter, instantFilter } from '../deliveries/status-filters.js';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';

@ApiTags('Replays')
@Controller('v1/replays')
export class ReplaysController {
  constructor(
    private readonly startReplay: StartReplay,
    private readonly replays: Replays,
    private readonly mutations: Mutations,
  ) {}

  /**
   * Send many deliveries again. Those created in a span of time, by subscriber, endpoint, type and how they ended; with
   * `dryRun` they are only counted. Asking for a replay that is running answers that one.
   */
  @Post()
  @HttpCode(202)
  @RequireScope('deliveries:resend')
  @OpenToCustomers()
  @ApiProblems('invalid_request', 'unknown_subscriber', 'limit_reached', 'conflict')
  start(
    @CurrentCaller() caller: Caller,
    @Body() body: StartReplayDto,
    @Req() request: FastifyRequest,
  ): Promise<StartedReplayDto> {
    return this.mutations.run(caller, request, async (tx) => {
      let subscriberId: string | null = null;
      if (body.subscriber !== undefined) {
        subscriberId = (await findSubscriber(tx, caller.scope, body.subscriber)) ?? null;
        // Not an empty replay: whoever starts one should hear of the typing error.
        if (subscriberId === null) throw new Problem('unknown_subscriber', 'There is no such subscriber.');
      }
      const started = await this.startReplay.start(tx, caller.scope, {
        subscriberId,
        endpointId: endpointFilter(body.endpoint) ?? null,
        eventType: body.eventType ?? null,
        status: body.status ?? 'failed',
        since: instantFilter('/since', body.since)!,
        until: instantFilter('/until', body.until)!,
        dryRun: body.dryRun ?? false,
      });
      // A dry run moves nothing: that somebody counted is all there is to keep.
      const counted = { matched: started.matched, countedTo: started.countedTo ?? undefined };
      const asked = body.dryRun ? { dryRun: true, ...counted } : { ...body, ...counted };
      return {
        status: 202,
        body: started,
        action: 'replay.start',
        subscriberId: subscriberId ?? undefined,
        change: auditChange(null, asked, REPLAY_FIELDS),
      };
    });
  }

  /** List replays, newest first. */
  @Get()
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  async list(@CurrentCaller() caller: Caller, @Query() query: ListReplaysQueryDto): Promise<ReplayPageDto> {
    const page = parsePage(query);
    const rows = await this.replays.list(caller.scope, query.state, page);
    return pageOf(
      rows,
      page.limit,
      (row) => row.key,
      (row) => row.item,
    );
  }

  /** Show how far a replay is. */
  @Get(':replay')
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  get(@CurrentCaller() caller: Caller, @Param('replay') replay: string): Promise<ReplayDto> {
    return this.replays.one(caller.scope, replayId(replay));
  }

  /** Cancel a replay. What it has made pending again stays so; nothing more is added. */
  @Delete(':replay')
  @HttpCode(200)
  @RequireScope('deliveries:resend')
  @OpenToCustomers()
  @ApiProblems('not_found', 'conflict')
  cancel(
    @CurrentCaller() caller: Caller,
    @Param('replay') replay: string,
    @Req() request: FastifyRequest,
  ): Promise<ReplayDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const body = await this.replays.cancel(tx, caller.scope, replayId(replay));
      const subscriberId =
        body.filters.subscriber === null ? undefined : fromPublicId('sub', body.filters.subscriber);
      const change = auditChange(null, { state: body.state, resent: body.resent }, ['state', 'resent']);
      return { status: 200, body, action: 'replay.cancel', subscriberId, change };
    });
  }
}

/** What the audit log may show of a replay: all of it. */
const REPLAY_FIELDS = [
  'subscriber',
  'endpoint',
  'eventType',
  'status',
  'since',
  'until',
  'dryRun',
  'matched',
  'countedTo',
];

/** What is not the form of an id is no replay. */
function replayId(text: string): string {
  const id = fromPublicId('rpl', text);
  if (id === undefined) throw new Problem('not_found', 'There is no replay with this id.');
  return id;
}
