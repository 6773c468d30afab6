import type { AuditAction } from '@app/contracts';
import {
  DisableEndpointDto,
  RotateSecretDto,
  type EnabledEndpointDto,
  type EndpointDto,
  type EndpointSecretsDto,
} from '@app/dto';
import { toPublicId } from '@app/domain';
import { Endpoints, EndpointSecrets, EndpointStates, type EndpointReference } from '@app/endpoints';
import type { EndpointRow, Tx } from '@app/persistence';
import { Body, Controller, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { auditOfEndpoint, auditOfSecrets } from './endpoint.audit.js';
import { enabledView, endpointReference, endpointView, secretsView } from './endpoint.view.js';

@ApiTags('Endpoints')
@Controller('v1/subscribers/:subscriber/endpoints/:endpoint')
export class EndpointActionsController {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly secrets: EndpointSecrets,
    private readonly states: EndpointStates,
    private readonly mutations: Mutations,
  ) {}

  /** Show the secrets that sign now, newest first. Who looks is written into the audit log. */
  @Get('secret')
  @RequireScope('secrets:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  showSecrets(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EndpointSecretsDto> {
    return this.mutations.look(caller, request, async (tx) => {
      const reference = endpointReference(subscriber, endpoint);
      const { id, subscriberId } = await this.endpoints.get(tx, caller.scope, reference);
      const body = secretsView(await this.secrets.list(tx, caller.scope, reference));
      return { body, action: 'endpoint_secret.reveal', object: toPublicId('ep', id), subscriberId };
    });
  }

  /** Rotate the signing secret. Old ones sign beside the new one for a while, so that receivers can change over in peace. */
  @Post('secret/rotate')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
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
      const { before, live } = await this.secrets.rotate(tx, caller.scope, reference, body);
      // The old ones are not this caller's to see: reading them takes another scope.
      return {
        status: 200,
        body: secretsView(live.slice(0, 1)),
        action: 'endpoint_secret.rotate',
        object: toPublicId('ep', id),
        subscriberId,
        change: auditOfSecrets(before, live),
      };
    });
  }

  /** Disable an endpoint. Nothing is sent to it, new deliveries are cancelled. Twice is the same as once. */
  @Post('disable')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems('not_found')
  disable(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Body() body: DisableEndpointDto,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, 'endpoint.disable', endpointReference(subscriber, endpoint), (tx, at) =>
      this.states.disable(tx, caller.scope, at, body.reason ?? null),
    );
  }

  /** Enable an endpoint that was disabled. It starts slowly; `missed` offers to send what was cancelled meanwhile. */
  @Post('enable')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems('not_found')
  enable(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EnabledEndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const reference = endpointReference(subscriber, endpoint);
      const before = await this.endpoints.lock(tx, caller.scope, reference);
      const { endpoint: after, missed } = await this.states.enable(tx, caller.scope, reference);
      return {
        status: 200,
        body: enabledView(after, missed),
        action: 'endpoint.enable',
        subscriberId: after.subscriberId,
        change: auditOfEndpoint(before, after),
      };
    });
  }

  /** Pause an endpoint. Nothing is sent to it, and what comes is held, in order, until it is resumed. */
  @Post('pause')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems('not_found')
  pause(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, 'endpoint.pause', endpointReference(subscriber, endpoint), (tx, at) =>
      this.states.pause(tx, caller.scope, at),
    );
  }

  /** Resume an endpoint that was paused. What was held is sent, the oldest first. */
  @Post('resume')
  @HttpCode(200)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiProblems('not_found')
  resume(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
    @Req() request: FastifyRequest,
  ): Promise<EndpointDto> {
    return this.act(caller, request, 'endpoint.resume', endpointReference(subscriber, endpoint), (tx, at) =>
      this.states.resume(tx, caller.scope, at),
    );
  }

  private act(
    caller: Caller,
    request: FastifyRequest,
    action: AuditAction,
    reference: EndpointReference,
    work: (tx: Tx, reference: EndpointReference) => Promise<EndpointRow>,
  ): Promise<EndpointDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const before = await this.endpoints.lock(tx, caller.scope, reference);
      const after = await work(tx, reference);
      return {
        status: 200,
        body: endpointView(after),
        action,
        subscriberId: after.subscriberId,
        change: auditOfEndpoint(before, after),
      };
    });
  }
}
