import type { EndpointHealthDto } from '@app/dto';
import { ReadHealth } from '@app/console';
import { Endpoints } from '@app/endpoints';
import { Database } from '@app/persistence';
import { Controller, Get, Param } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { endpointReference } from './endpoint.view.js';

@ApiTags('Endpoints')
@Controller('v1/subscribers/:subscriber/endpoints/:endpoint/health')
export class EndpointHealthController {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly health: ReadHealth,
    private readonly database: Database,
  ) {}

  /** Show how an endpoint does. Its figures of an hour and a day, what waits for it, and what holds that back. */
  @Get()
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async show(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
  ): Promise<EndpointHealthDto> {
    const reference = endpointReference(subscriber, endpoint);
    return this.health.of(await this.endpoints.get(this.database, caller.scope, reference));
  }
}
