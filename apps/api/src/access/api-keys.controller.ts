import { Problem } from '@app/contracts';
import {
  CreateApiKeyDto,
  PageQueryDto,
  RotateApiKeyDto,
  type ApiKeyDto,
  type ApiKeyPageDto,
  type ApiKeyWithTextDto,
} from '@app/dto';
import { fromPublicId, type Clock } from '@app/domain';
import { ApiKeys, auditOfKey, refuseBoundToKeys } from '@app/endpoints';
import { Database, subscribersRepository, type Tx } from '@app/persistence';
import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { CLOCK } from '../tokens.js';
import { apiKeyView } from './access.views.js';

@ApiTags('API keys')
@Controller('v1/api-keys')
export class ApiKeysController {
  constructor(
    private readonly keys: ApiKeys,
    private readonly database: Database,
    private readonly mutations: Mutations,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Make an API key. Its text is shown once; only a hash of it is kept. */
  @Post()
  @RequireScope('admin')
  @ApiProblems('unknown_subscriber', 'limit_reached')
  create(
    @CurrentCaller() caller: Caller,
    @Body() body: CreateApiKeyDto,
    @Req() request: FastifyRequest,
  ): Promise<ApiKeyWithTextDto> {
    refuseBoundToKeys(caller.scope);
    return this.mutations.run(caller, request, async (tx) => {
      const subscriberId = await this.subscriberOf(tx, caller, body.subscriber);
      const made = await this.keys.create(tx, {
        name: body.name,
        scopes: body.scopes,
        subscriberId,
        networks: body.allowedIps,
        expiresAt: this.after(body.expiresInSeconds),
      });
      const key = await this.keys.get(tx, fromPublicId('key', made.id));
      return {
        status: 201,
        body: { ...apiKeyView(key), key: made.key },
        kept: { ...apiKeyView(key), key: null },
        action: 'api_key.create',
        subscriberId: subscriberId ?? undefined,
        change: auditOfKey(null, key),
      };
    });
  }

  /** List API keys, newest first, without their texts. */
  @Get()
  @RequireScope('admin')
  async list(@CurrentCaller() caller: Caller, @Query() query: PageQueryDto): Promise<ApiKeyPageDto> {
    refuseBoundToKeys(caller.scope);
    const { limit, after } = parsePage(query);
    const rows = await this.keys.list({ limit: limit + 1, after });
    return pageOf(rows, limit, (row) => row.id, apiKeyView);
  }

  /** Show one API key, without its text. */
  @Get(':key')
  @RequireScope('admin')
  @ApiProblems('not_found')
  async get(@CurrentCaller() caller: Caller, @Param('key') key: string): Promise<ApiKeyDto> {
    refuseBoundToKeys(caller.scope);
    return apiKeyView(await this.keys.get(this.database, fromPublicId('key', key)));
  }

  /**
   * Rotate an API key. It keeps its id and gets another text; the one before is good for a while, so that services can
   * change over in peace. Two at most are good at once.
   */
  @Post(':key/rotate')
  @HttpCode(200)
  @RequireScope('admin')
  @ApiProblems('not_found', 'conflict', 'limit_reached')
  rotate(
    @CurrentCaller() caller: Caller,
    @Param('key') key: string,
    @Body() body: RotateApiKeyDto,
    @Req() request: FastifyRequest,
  ): Promise<ApiKeyWithTextDto> {
    refuseBoundToKeys(caller.scope);
    return this.mutations.run(caller, request, async (tx) => {
      const {
        before,
        after,
        key: text,
      } = await this.keys.rotate(tx, fromPublicId('key', key), body.overlapSeconds);
      return {
        status: 200,
        body: { ...apiKeyView(after), key: text },
        kept: { ...apiKeyView(after), key: null },
        action: 'api_key.rotate',
        subscriberId: after.subscriberId ?? undefined,
        change: auditOfKey(before, after),
      };
    });
  }

  /** Revoke an API key, with both its texts. Every process refuses it within two seconds; it stays in the list. */
  @Delete(':key')
  @HttpCode(204)
  @RequireScope('admin')
  @ApiProblems('not_found')
  revoke(
    @CurrentCaller() caller: Caller,
    @Param('key') key: string,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    refuseBoundToKeys(caller.scope);
    return this.mutations.run<void>(caller, request, async (tx) => {
      const { before, after } = await this.keys.revoke(tx, fromPublicId('key', key));
      return {
        status: 204,
        body: undefined,
        action: 'api_key.revoke',
        object: apiKeyView(after).id,
        subscriberId: after.subscriberId ?? undefined,
        change: auditOfKey(before, after),
      };
    });
  }

  private async subscriberOf(tx: Tx, caller: Caller, reference: string | undefined): Promise<string | null> {
    if (reference === undefined) return null;
    // Locked: a key for one that is being deleted would outlive it.
    const subscriber = await subscribersRepository.lock(tx, caller.scope, reference);
    if (subscriber) return subscriber.id;
    throw new Problem('unknown_subscriber', 'There is no such subscriber.', {
      errors: [{ pointer: '/subscriber', detail: 'must be a subscriber’s id or externalId' }],
    });
  }

  private after(seconds: number | undefined): Date | null {
    return seconds === undefined ? null : new Date(this.clock.now().getTime() + seconds * 1000);
  }
}
