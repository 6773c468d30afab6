import {
  ChangeEndpointDto,
  CreateEndpointDto,
  PageQueryDto,
  type CreatedEndpointDto,
  type EndpointDto,
  type EndpointPageDto,
} from '@app/dto';
import { toPublicId } from '@app/domain';
import { Endpoints, Subscribers } from '@app/endpoints';
import { Database, endpointsRepository } from '@app/persistence';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { auditOfEndpoint, withHeaders } from './endpoint.audit.js';
import { endpointReference, endpointView } from './endpoint.view.js';

@ApiTags('Endpoints')
@Controller('v1/subscribers/:subscriber/endpoints')
export class EndpointsController {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly subscribers: Subscribers,
    private readonly database: Database,
    private readonly mutations: Mutations,
  ) {}

  /** Create an endpoint. A URL and the events it gets; the answer shows its signing secret, once. */
  @Post()
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems(
    'not_found',
    'invalid_endpoint_url',
    'invalid_custom_header',
    'invalid_signature_header',
    'invalid_auth',
    'invalid_tls',
    'invalid_retry_policy',
    'invalid_rate_limit',
    'invalid_on_failure',
    'invalid_secret',
    'limit_reached',
  )
  create(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Body() body: CreateEndpointDto,
    @Req() request: FastifyRequest,
  ): Promise<CreatedEndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const { endpoint, secret, publicKey } = await this.endpoints.register(
        tx,
        caller.scope,
        subscriber,
        body,
      );
      return {
        status: 201,
        body: { ...endpointView(endpoint), secret, publicKey },
        action: 'endpoint.create',
        subscriberId: endpoint.subscriberId,
        change: auditOfEndpoint(null, await withHeaders(tx, endpoint)),
      };
    });
  }

  /** List the endpoints of a subscriber, newest first. */
  @Get()
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async list(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Query() query: PageQueryDto,
  ): Promise<EndpointPageDto> {
    const { limit, after } = parsePage(query);
    const { id } = await this.subscribers.get(this.database, caller.scope, subscriber);
    const rows = await endpointsRepository.list(this.database, caller.scope, id, { limit: limit + 1, after });
    return pageOf(rows, limit, (row) => row.id, endpointView);
  }

  /** Show one endpoint. */
  @Get(':endpoint')
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async get(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
  ): Promise<EndpointDto> {
    const reference = endpointReference(subscriber, endpoint);
    return endpointView(await this.endpoints.get(this.database, caller.scope, reference));
  }

  /** Change an endpoint. What is absent stays as it is; deliveries that wait follow the new settings from their next attempt on; when that is due stays. */
  @Patch(':endpoint')
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems(
    'not_found',
    'invalid_endpoint_url',
    'invalid_custom_header',
    'invalid_signature_header',
    'invalid_auth',
    'invalid_tls',
    'invalid_retry_policy',
    'invalid_rate_limit',
    'invalid_on_failure',
  )
  change(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Body() body: ChangeEndpointDto,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const reference = endpointReference(subscriber, endpoint);
      const before = await withHeaders(tx, await this.endpoints.lock(tx, caller.scope, reference));
      const changed = await this.endpoints.change(tx, caller.scope, reference, body);
      return {
        status: 200,
        body: endpointView(changed),
        action: 'endpoint.update',
        subscriberId: changed.subscriberId,
        change: auditOfEndpoint(before, await withHeaders(tx, changed)),
      };
    });
  }

  /** Delete an endpoint. Nothing is sent there any more; what was on its way is cancelled, its history stays. */
  @Delete(':endpoint')
  @HttpCode(204)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems('not_found')
  delete(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    return this.mutations.run<void>(caller, request, async (tx) => {
      const deleted = await this.endpoints.delete(tx, caller.scope, endpointReference(subscriber, endpoint));
      return {
        status: 204,
        body: undefined,
        action: 'endpoint.delete',
        object: toPublicId('ep', deleted.id),
        subscriberId: deleted.subscriberId,
        change: auditOfEndpoint(await withHeaders(tx, deleted), null),
      };
    });
  }
}
