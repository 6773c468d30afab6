import {
  DisableEndpointDto,
  RotateSecretDto,
  type EnabledEndpointDto,
  type EndpointDto,
  type EndpointSecretsDto,
} from '@app/contracts';
import { toPublicId } from '@app/domain';
import { Endpoints, EndpointSecrets, EndpointStates } from '@app/endpoints';
import { Database, type EndpointRow, type Tx } from '@app/persistence';
import { Body, Controller, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { enabledView, endpointReference, endpointView, secretsView } from './endpoint.view.js';

@ApiTags('Endpoints')
@Controller('v1/subscribers/:subscriber/endpoints/:endpoint')
export class EndpointActionsController {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly secrets: EndpointSecrets,
    private readonly states: EndpointStates,
    private readonly database: Database,
    private readonly mutations: Mutations,
  ) {}

  /** Show the secrets that sign now, newest first. */
  @Get('secret')
  @RequireScope('secrets:read')
  @ApiProblems('not_found')
  async showSecrets(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
  ): Promise<EndpointSecretsDto> {
    const reference = endpointReference(subscriber, endpoint);
    return secretsView(await this.secrets.list(this.database, caller.scope, reference));
  }

  /** Rotate the signing secret. Old ones sign beside the new one for a while, so that receivers can change over in peace. */
  @Post('secret/rotate')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @ApiProblems('not_found', 'invalid_secret', 'conflict', 'limit_reached')
  rotateSecret(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Body() body: RotateSecretDto,
    @Req() request: FastifyRequest,
  ): Promise<EndpointSecretsDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const reference = endpointReference(subscriber, endpoint);
      const { id, subscriberId } = await this.endpoints.get(tx, caller.scope, reference);
      const live = await this.secrets.rotate(tx, caller.scope, reference, body);
      // The old ones are not this caller's to see: reading them takes another scope.
      return { status: 200, body: secretsView(live.slice(0, 1)), object: toPublicId('ep', id), subscriberId };
    });
  }

  /** Disable an endpoint. Nothing is sent to it, new deliveries are cancelled. Twice is the same as once. */
  @Post('disable')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @ApiProblems('not_found')
  disable(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Body() body: DisableEndpointDto,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, (tx) =>
      this.states.disable(tx, caller.scope, endpointReference(subscriber, endpoint), body.reason ?? null),
    );
  }

  /** Enable an endpoint that was disabled. It starts slowly; `missed` offers to send what was cancelled meanwhile. */
  @Post('enable')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @ApiProblems('not_found')
  enable(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EnabledEndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const reference = endpointReference(subscriber, endpoint);
      const enabled = await this.states.enable(tx, caller.scope, reference);
      const body = enabledView(enabled.endpoint, enabled.missed);
      return { status: 200, body, subscriberId: enabled.endpoint.subscriberId };
    });
  }

  /** Pause an endpoint. Nothing is sent to it, and what comes is held, in order, until it is resumed. */
  @Post('pause')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @ApiProblems('not_found')
  pause(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, (tx) =>
      this.states.pause(tx, caller.scope, endpointReference(subscriber, endpoint)),
    );
  }

  /** Resume an endpoint that was paused. What was held is sent, the oldest first. */
  @Post('resume')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @ApiProblems('not_found')
  resume(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, (tx) =>
      this.states.resume(tx, caller.scope, endpointReference(subscriber, endpoint)),
    );
  }

  private act(
    caller: Caller,
    request: FastifyRequest,
    work: (tx: Tx) => Promise<EndpointRow>,
  ): Promise<EndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const endpoint = await work(tx);
      return { status: 200, body: endpointView(endpoint), subscriberId: endpoint.subscriberId };
    });
  }
}
