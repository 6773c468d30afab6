import { Problem } from '@app/contracts';
import {
  DeliveryDto,
  DeliveryPageDto,
  DeliveryWithTimelineDto,
  ExplanationDto,
  ListDeliveriesQueryDto,
  ResentDto,
} from '@app/dto';
import { CancelDelivery, ReadDeliveries, ResendDelivery } from '@app/console';
import { auditChange, fromPublicId } from '@app/domain';
import type { Logger } from '@app/observability';
import { Database } from '@app/persistence';
import { Controller, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOfLook, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { LOGGER } from '../tokens.js';
import { endpointFilter, instantFilter, subscriberFilter } from './status-filters.js';

@ApiTags('Deliveries')
@Controller('v1/deliveries')
export class DeliveriesController {
  constructor(
    private readonly read: ReadDeliveries,
    private readonly resendDelivery: ResendDelivery,
    private readonly cancelDelivery: CancelDelivery,
    private readonly database: Database,
    private readonly mutations: Mutations,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** List deliveries, newest first. What was sent, what failed and how, what is still to come and when. */
  @Get()
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  async list(
    @CurrentCaller() caller: Caller,
    @Query() query: ListDeliveriesQueryDto,
  ): Promise<DeliveryPageDto> {
    const page = parsePage(query);
    const filter = {
      status: query.status,
      subscriberId: await subscriberFilter(this.database, caller.scope, query.subscriber),
      endpointId: endpointFilter(query.endpoint),
      eventType: query.eventType,
      failure: query.failure,
      since: instantFilter('since', query.since),
      until: instantFilter('until', query.until),
    };
    return pageOfLook(await this.read.list(caller.scope, filter, page), page.limit);
  }

  /** Show one delivery with every attempt. When, where to, what was answered; and when the next one is due and why. */
  @Get(':delivery')
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  get(
    @CurrentCaller() caller: Caller,
    @Param('delivery') delivery: string,
  ): Promise<DeliveryWithTimelineDto> {
    return this.read.one(caller.scope, deliveryId(delivery));
  }

  /** Explain why a delivery has not arrived. What it waits for, until when, and what would make it go now. */
  @Get(':delivery/explain')
  @RequireScope('deliveries:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  explain(@CurrentCaller() caller: Caller, @Param('delivery') delivery: string): Promise<ExplanationDto> {
    return this.read.explain(caller.scope, deliveryId(delivery));
  }

  /**
   * Send a delivery again. One that is over starts afresh, also a delivered one: the receiver sees the same
   * `webhook-id`. A pending one is brought forward, never doubled.
   */
  @Post(':delivery/resend')
  @HttpCode(202)
  @RequireScope('deliveries:resend')
  @OpenToCustomers()
  @ApiProblems('not_found', 'conflict')
  async resend(
    @CurrentCaller() caller: Caller,
    @Param('delivery') delivery: string,
    @Req() request: FastifyRequest,
  ): Promise<ResentDto> {
    let result: string | undefined;
    const answer = await this.mutations.run(caller, request, async (tx) => {
      const body = await this.resendDelivery.resend(tx, caller.scope, deliveryId(delivery));
      result = body.result;
      const subscriberId = fromPublicId('sub', body.delivery.subscriberId);
      const change = auditChange(null, { result: body.result }, ['result']);
      return { status: 202, body, action: 'delivery.resend', object: delivery, subscriberId, change };
    });
    // A stored answer was told when it was made.
    if (result) this.logger.info({ delivery, result, requestId: caller.requestId }, 'delivery.resent');
    return answer;
  }

  /**
   * Cancel a delivery that is still pending. Nothing more is sent. So can be one that has failed and blocks its ordering
   * key: those behind it then follow. It can be resent later.
   */
  @Post(':delivery/cancel')
  @HttpCode(200)
  @RequireScope('deliveries:resend')
  @OpenToCustomers()
  @ApiProblems('not_found', 'conflict')
  async cancel(
    @CurrentCaller() caller: Caller,
    @Param('delivery') delivery: string,
    @Req() request: FastifyRequest,
  ): Promise<DeliveryDto> {
    let done = false;
    const answer = await this.mutations.run(caller, request, async (tx) => {
      const body = await this.cancelDelivery.cancel(tx, caller.scope, deliveryId(delivery));
      done = true;
      const subscriberId = fromPublicId('sub', body.subscriberId);
      const change = auditChange(null, { status: body.status }, ['status']);
      return { status: 200, body, action: 'delivery.cancel', object: delivery, subscriberId, change };
    });
    if (done) this.logger.info({ delivery, requestId: caller.requestId }, 'delivery.cancelled');
    return answer;
  }
}

/** What is not the form of an id is no delivery. */
function deliveryId(text: string): string {
  const id = fromPublicId('dlv', text);
  if (id === undefined) throw new Problem('not_found', 'There is no delivery with this id.');
  return id;
}
