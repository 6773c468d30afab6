import {
  CreateAccessTokenDto,
  PageQueryDto,
  type AccessTokenPageDto,
  type CreatedAccessTokenDto,
} from '@app/dto';
import { fromPublicId } from '@app/domain';
import { AccessTokens, auditOfToken } from '@app/endpoints';
import { Database } from '@app/persistence';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { accessTokenView } from './access.views.js';

@ApiTags('Subscribers')
@Controller('v1/subscribers/:subscriber/access-tokens')
export class AccessTokensController {
  constructor(
    private readonly tokens: AccessTokens,
    private readonly database: Database,
    private readonly mutations: Mutations,
  ) {}

  /**
   * Make an access token for a customer. It sees this subscriber and no other, ends by itself, and reaches only what is
   * open to customers; its text is shown once.
   */
  @Post()
  @RequireScope('tokens:write')
  @ApiProblems('not_found', 'limit_reached')
  create(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Body() body: CreateAccessTokenDto,
    @Req() request: FastifyRequest,
  ): Promise<CreatedAccessTokenDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const { token, text } = await this.tokens.create(tx, caller.scope, caller.scopes, subscriber, body);
      return {
        status: 201,
        body: { ...accessTokenView(token), token: text },
        kept: { ...accessTokenView(token), token: null },
        action: 'access_token.create',
        subscriberId: token.subscriberId,
        change: auditOfToken(null, token),
      };
    });
  }

  /** List the access tokens of a subscriber, newest first. Nobody can show their texts. */
  @Get()
  @RequireScope('tokens:write')
  @ApiProblems('not_found')
  async list(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Query() query: PageQueryDto,
  ): Promise<AccessTokenPageDto> {
    const { limit, after } = parsePage(query);
    const rows = await this.tokens.list(this.database, caller.scope, subscriber, { limit: limit + 1, after });
    return pageOf(rows, limit, (row) => row.id, accessTokenView);
  }

  /** Revoke an access token. Every process refuses it within two seconds. */
  @Delete(':token')
  @HttpCode(204)
  @RequireScope('tokens:write')
  @ApiProblems('not_found')
  revoke(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('token') token: string,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    return this.mutations.run<void>(caller, request, async (tx) => {
      const id = fromPublicId('tok', token);
      const { before, after } = await this.tokens.revoke(tx, caller.scope, subscriber, id);
      return {
        status: 204,
        body: undefined,
        action: 'access_token.revoke',
        object: accessTokenView(after).id,
        subscriberId: after.subscriberId,
        change: auditOfToken(before, after),
      };
    });
  }
}
