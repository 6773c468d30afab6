import {
  ChangeSubscriberDto,
  CreateSubscriberDto,
  PageQueryDto,
  type SubscriberDto,
  type SubscriberPageDto,
} from '@app/dto';
import { toPublicId } from '@app/domain';
import { Subscribers } from '@app/endpoints';
import { Database, subscribersRepository } from '@app/persistence';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { auditOfSubscriber } from './subscriber.audit.js';
import { subscriberView } from './subscriber.view.js';

@ApiTags('Subscribers')
@Controller('v1/subscribers')
export class SubscribersController {
  constructor(
    private readonly subscribers: Subscribers,
    private readonly database: Database,
    private readonly mutations: Mutations,
  ) {}

  /** Register a subscriber. One of your customers, who will receive events; name it by your own id from then on. */
  @Post()
  @RequireScope('subscribers:write')
  @ApiProblems('already_exists')
  create(
    @CurrentCaller() caller: Caller,
    @Body() body: CreateSubscriberDto,
    @Req() request: FastifyRequest,
  ): Promise<SubscriberDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const subscriber = await this.subscribers.register(tx, caller.scope, body);
      return {
        status: 201,
        body: subscriberView(subscriber),
        action: 'subscriber.create',
        subscriberId: subscriber.id,
        change: auditOfSubscriber(null, subscriber),
      };
    });
  }

  /** List subscribers, newest first. A key that is bound to one sees only that one. */
  @Get()
  @RequireScope('subscribers:read')
  async list(@CurrentCaller() caller: Caller, @Query() query: PageQueryDto): Promise<SubscriberPageDto> {
    const { limit, after } = parsePage(query);
    const rows = await subscribersRepository.list(this.database, caller.scope, { limit: limit + 1, after });
    return pageOf(rows, limit, (row) => row.id, subscriberView);
  }

  /** Show one subscriber. */
  @Get(':subscriber')
  @RequireScope('subscribers:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async get(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
  ): Promise<SubscriberDto> {
    return subscriberView(await this.subscribers.get(this.database, caller.scope, subscriber));
  }

  /** Change a subscriber. What is absent stays as it is. */
  @Patch(':subscriber')
  @RequireScope('subscribers:write')
  @ApiProblems('not_found', 'already_exists')
  change(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Body() body: ChangeSubscriberDto,
    @Req() request: FastifyRequest,
  ): Promise<SubscriberDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const before = await subscribersRepository.lock(tx, caller.scope, subscriber);
      const changed = await this.subscribers.change(tx, caller.scope, subscriber, body);
      return {
        status: 200,
        body: subscriberView(changed),
        action: 'subscriber.update',
        subscriberId: changed.id,
        change: auditOfSubscriber(before, changed),
      };
    });
  }

  /** Delete a subscriber and its endpoints. Deliveries on their way to it are cancelled, its access tokens and the keys that are bound to it end; its history stays. */
  @Delete(':subscriber')
  @HttpCode(204)
  @RequireScope('subscribers:write')
  @ApiProblems('not_found')
  delete(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    return this.mutations.run<void>(caller, request, async (tx) => {
      const deleted = await this.subscribers.delete(tx, caller.scope, subscriber);
      return {
        status: 204,
        body: undefined,
        action: 'subscriber.delete',
        object: toPublicId('sub', deleted.id),
        subscriberId: deleted.id,
        change: auditOfSubscriber(deleted, null),
      };
    });
  }
}
