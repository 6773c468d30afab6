import {
  ChangeEventTypeDto,
  CreateEventTypeDto,
  PageQueryDto,
  type EventTypeDto,
  type EventTypePageDto,
  type PutEventTypeVersionDto,
  type RetryPolicyDto,
} from '@app/dto';
import { isEventTypeName } from '@app/domain';
import { EventTypes } from '@app/endpoints';
import { Database, eventTypesRepository, type EventTypeRow, type VersionChange } from '@app/persistence';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { Mutations } from '../edge/mutations.js';
import { pageOf, parsePage } from '../edge/page.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { auditOfEventType } from './event-type.audit.js';

@ApiTags('Event types')
@Controller('v1/event-types')
export class EventTypesController {
  constructor(
    private readonly eventTypes: EventTypes,
    private readonly database: Database,
    private readonly mutations: Mutations,
  ) {}

  /** Put an event type into the catalogue. From then on it can be published. */
  @Post()
  @RequireScope('admin')
  @ApiProblems('already_exists', 'invalid_retry_policy')
  create(
    @CurrentCaller() caller: Caller,
    @Body() body: CreateEventTypeDto,
    @Req() request: FastifyRequest,
  ): Promise<EventTypeDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const type = await this.eventTypes.register(tx, caller.scope, {
        ...body,
        versions: changesOf(body.versions),
      });
      return {
        status: 201,
        body: eventTypeView(type),
        action: 'event_type.create',
        object: type.name,
        change: auditOfEventType(null, type),
      };
    });
  }

  /** List the catalogue, by name. */
  @Get()
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  async list(@Query() query: PageQueryDto): Promise<EventTypePageDto> {
    const { limit, after } = parsePage(query, isEventTypeName);
    const rows = await eventTypesRepository.list(this.database, { limit: limit + 1, after });
    return pageOf(rows, limit, (row) => row.name, eventTypeView);
  }

  /** Show one event type with its versions and examples. */
  @Get(':name')
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async get(@Param('name') name: string): Promise<EventTypeDto> {
    return eventTypeView(await this.eventTypes.get(this.database, name));
  }

  /** Change an event type. Its description, its retry policy, and its versions by their names. */
  @Patch(':name')
  @RequireScope('admin')
  @ApiProblems('not_found', 'limit_reached', 'invalid_retry_policy')
  change(
    @CurrentCaller() caller: Caller,
    @Param('name') name: string,
    @Body() body: ChangeEventTypeDto,
    @Req() request: FastifyRequest,
  ): Promise<EventTypeDto> {
    return this.mutations.run(caller, request, async (tx) => {
      const before = await this.eventTypes.get(tx, name);
      const type = await this.eventTypes.change(tx, caller.scope, name, {
        ...body,
        versions: changesOf(body.versions),
      });
      return {
        status: 200,
        body: eventTypeView(type),
        action: 'event_type.update',
        object: type.name,
        change: auditOfEventType(before, type),
      };
    });
  }

  /** Take an event type out of the catalogue: it can no longer be published. Its events stay. */
  @Delete(':name')
  @HttpCode(204)
  @RequireScope('admin')
  @ApiProblems('not_found')
  delete(
    @CurrentCaller() caller: Caller,
    @Param('name') name: string,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    return this.mutations.run<void>(caller, request, async (tx) => {
      const before = await this.eventTypes.get(tx, name);
      await this.eventTypes.delete(tx, caller.scope, name);
      return {
        status: 204,
        body: undefined,
        action: 'event_type.delete',
        object: name,
        change: auditOfEventType(before, null),
      };
    });
  }
}

/** Examples are kept as JSON text; null takes one away, absent leaves it. */
function changesOf(versions: PutEventTypeVersionDto[] | undefined): VersionChange[] | undefined {
  return versions?.map(({ version, description, example }) => ({
    version,
    description,
    example: example === undefined || example === null ? example : JSON.stringify(example),
  }));
}

function eventTypeView(type: EventTypeRow): EventTypeDto {
  return {
    name: type.name,
    description: type.description,
    retryPolicy: type.retryPolicy as RetryPolicyDto | null,
    versions: type.versions.map(({ version, description, example, createdAt }) => ({
      version,
      description,
      example: example === null ? null : (JSON.parse(example) as unknown),
      createdAt,
    })),
    createdAt: type.createdAt,
    updatedAt: type.updatedAt,
  };
}
