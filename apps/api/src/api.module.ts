import { urlPolicyOf, type Config } from '@app/config';
import type { Clock, Random, UrlPolicy } from '@app/domain';
import {
  AccessTokens,
  ApiKeys,
  Endpoints,
  EndpointSecrets,
  EndpointStates,
  EventTypes,
  Ids,
  Subscribers,
} from '@app/endpoints';
import { AcceptEvents, WatchBacklog } from '@app/ingest';
import { Metrics, type Logger } from '@app/observability';
import { Database } from '@app/persistence';
import { DeliverQueue } from '@app/queue';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AccessTokensController } from './access/access-tokens.controller.js';
import { ApiKeysController } from './access/api-keys.controller.js';
import { AuditController } from './access/audit.controller.js';
import { CONSOLE } from './deliveries/console.providers.js';
import { DeliveriesController } from './deliveries/deliveries.controller.js';
import { ApiKeyGuard } from './edge/api-key.guard.js';
import { Mutations } from './edge/mutations.js';
import { ProblemFilter } from './edge/problem.filter.js';
import { RouteTable } from './edge/route-table.js';
import { DtoPipe } from './edge/validation.js';
import { EndpointActionsController } from './endpoints/endpoint-actions.controller.js';
import { EndpointHealthController } from './endpoints/endpoint-health.controller.js';
import { PublicKeysController } from './endpoints/public-keys.controller.js';
import { EndpointsController } from './endpoints/endpoints.controller.js';
import { EventTypesController } from './event-types/event-types.controller.js';
import { EventsReadController } from './events/events-read.controller.js';
import { EventsController } from './events/events.controller.js';
import { TestEventController } from './events/test-event.controller.js';
import { TestLimits } from './events/test-limits.js';
import { RequestLimits } from './edge/request-limits.js';
import { HealthController } from './health/health.controller.js';
import { MetricsController } from './health/metrics.controller.js';
import { Readiness } from './health/readiness.js';
import { RetryPoliciesController } from './retry-policies/retry-policies.controller.js';
import { ReplaysController } from './replays/replays.controller.js';
import { SubscribersController } from './subscribers/subscribers.controller.js';
import { CLOCK, CONFIG, LOGGER, RANDOM, URL_POLICY } from './tokens.js';

/** What the composition root makes and the modules share. */
export interface ApiParts {
  config: Config;
  database: Database;
  queue: DeliverQueue;
  logger: Logger;
  metrics: Metrics;
  clock: Clock;
  random: Random;
  routes: RouteTable;
}

/** In the order in which a customer meets them; Swagger UI shows them by tag. */
const CONTROLLERS = [
  SubscribersController,
  EndpointsController,
  EndpointActionsController,
  PublicKeysController,
  EndpointHealthController,
  TestEventController,
  RetryPoliciesController,
  EventTypesController,
  EventsController,
  EventsReadController,
  DeliveriesController,
  ReplaysController,
  AccessTokensController,
  ApiKeysController,
  AuditController,
  HealthController,
  MetricsController,
];

/** Stages: classes that know nothing of Nest, so they are made here. */
const STAGES: Provider[] = [
  {
    provide: Ids,
    useFactory: (clock: Clock, random: Random) => new Ids(clock, random),
    inject: [CLOCK, RANDOM],
  },
  { provide: Subscribers, useFactory: (ids: Ids) => new Subscribers(ids), inject: [Ids] },
  {
    provide: Endpoints,
    useFactory: (ids: Ids, policy: UrlPolicy, config: Config) =>
      new Endpoints(ids, policy, config.POSTHORN_ORIGIN),
    inject: [Ids, URL_POLICY, CONFIG],
  },
  {
    provide: EndpointSecrets,
    useFactory: (endpoints: Endpoints, ids: Ids) => new EndpointSecrets(endpoints, ids),
    inject: [Endpoints, Ids],
  },
  {
    provide: EndpointStates,
    useFactory: (endpoints: Endpoints) => new EndpointStates(endpoints),
    inject: [Endpoints],
  },
  {
    provide: AcceptEvents,
    useFactory: (
      database: Database,
      queue: DeliverQueue,
      clock: Clock,
      random: Random,
      metrics: Metrics,
      config: Config,
    ) =>
      new AcceptEvents(database, queue, clock, random, metrics, {
        autoCreateEventTypes: config.POSTHORN_AUTO_CREATE_EVENT_TYPES,
        backlogPerSubscriberMax: config.POSTHORN_BACKLOG_PER_SUBSCRIBER_MAX,
      }),
    inject: [Database, DeliverQueue, CLOCK, RANDOM, Metrics, CONFIG],
  },
  {
    provide: WatchBacklog,
    useFactory: (database: Database, metrics: Metrics, config: Config) =>
      new WatchBacklog(database, metrics, config.POSTHORN_BACKLOG_MAX, () => performance.now()),
    inject: [Database, Metrics, CONFIG],
  },
  {
    provide: TestLimits,
    useFactory: (database: Database, metrics: Metrics, config: Config) =>
      new TestLimits(
        new RequestLimits(database, metrics, () => performance.now()),
        config.POSTHORN_RATE_LIMIT_TEST,
      ),
    inject: [Database, Metrics, CONFIG],
  },
  { provide: EventTypes, useFactory: () => new EventTypes() },
  {
    provide: ApiKeys,
    useFactory: (database: Database, clock: Clock, random: Random, config: Config) =>
      new ApiKeys(database, clock, random, config.POSTHORN_ENVIRONMENT),
    inject: [Database, CLOCK, RANDOM, CONFIG],
  },
  {
    provide: AccessTokens,
    useFactory: (ids: Ids, config: Config) => new AccessTokens(ids, config.POSTHORN_ENVIRONMENT),
    inject: [Ids, CONFIG],
  },
];

@Module({})
export class ApiModule {
  static forRoot(parts: ApiParts): DynamicModule {
    return {
      module: ApiModule,
      controllers: CONTROLLERS,
      providers: [
        { provide: CONFIG, useValue: parts.config },
        { provide: LOGGER, useValue: parts.logger },
        { provide: CLOCK, useValue: parts.clock },
        { provide: RANDOM, useValue: parts.random },
        { provide: URL_POLICY, useValue: urlPolicyOf(parts.config) },
        { provide: Database, useValue: parts.database },
        { provide: DeliverQueue, useValue: parts.queue },
        { provide: Metrics, useValue: parts.metrics },
        { provide: RouteTable, useValue: parts.routes },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_GUARD, useClass: ApiKeyGuard },
        { provide: APP_PIPE, useClass: DtoPipe },
        Mutations,
        Readiness,
        ...STAGES,
        ...CONSOLE,
      ],
    };
  }
}
