import { Problem, VERIFICATION_EVENT_TYPE, type AuditAction } from '@app/contracts';
import { TestEventAnswerDto, TestEventDto } from '@app/dto';
import { fromPublicId, toPublicId } from '@app/domain';
import { Endpoints } from '@app/endpoints';
import { AcceptEvents, TEST_EVENT_TYPE, type AcceptableEvent } from '@app/ingest';
import { Metrics, type Logger } from '@app/observability';
import {
  Database,
  endpointsRepository,
  eventTypesRepository,
  subscribersRepository,
  type EndpointRow,
} from '@app/persistence';
import { Body, Controller, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { claimOf, Mutations } from '../edge/mutations.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { LOGGER } from '../tokens.js';
import { tell } from './publish-answers.js';
import { TestLimits } from './test-limits.js';

const GREETING =
  '{"message":"This is a test event from Posthorn. If you can verify its signature, you are ready."}';

@ApiTags('Endpoints')
@Controller('v1/subscribers/:subscriber/endpoints/:endpoint')
export class TestEventController {
  constructor(
    private readonly database: Database,
    private readonly accept: AcceptEvents,
    private readonly endpoints: Endpoints,
    private readonly limits: TestLimits,
    private readonly mutations: Mutations,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly metrics: Metrics,
  ) {}

  @Post('test')
  @HttpCode(202)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiOperation({
    summary: 'Send a test event to an endpoint',
    description:
      'Signed and sent as any other event, to this endpoint only, whatever types it wants; one attempt, no retries. A subscriber may send 10 a minute, and 5 may go to one host, whoever sends them; to verified endpoints 60 (unless the operator says otherwise). `GET /v1/deliveries/{delivery}` shows the request and the answer.',
  })
  @ApiBody({ type: TestEventDto, required: false })
  @ApiAcceptedResponse({ type: TestEventAnswerDto })
  @ApiProblems(
    'not_found',
    'unknown_event_type',
    'unknown_event_type_version',
    'conflict',
    'invalid_endpoint_url',
  )
  async send(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriberReference: string,
    @Param('endpoint') endpointReference: string,
    @Body() body: TestEventDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TestEventAnswerDto> {
    const endpoint = await this.endpointFor(caller, subscriberReference, endpointReference);
    const type = body.eventType ?? TEST_EVENT_TYPE;
    await this.limits.admit(endpoint);
    const event = testOf(endpoint, {
      type,
      version: body.version ?? null,
      data: await this.exampleOf(type, body.version),
    });
    return this.sent('endpoint.test', endpoint, event, caller, request, reply);
  }

  @Post('verify')
  @HttpCode(202)
  @RequireScope('endpoints:write')
  @OpenToCustomers()
  @ApiOperation({
    summary: 'Ask an endpoint to prove that it wants events',
    description:
      'By its `verification`. `challenge`: a signed POST of `{"type":"posthorn.endpoint.verification","challenge":"…"}`, which it answers with 2xx and the challenge, as text or as `{"challenge":"…"}`. `cloudevents`: an OPTIONS with `WebHook-Request-Origin`, which it answers with 2xx and `WebHook-Allowed-Origin`; a `WebHook-Allowed-Rate` becomes its rate limit. One attempt; `GET /v1/deliveries/{delivery}` shows what it answered, and `verifiedAt` of the endpoint whether that was the proof. Then what was held follows. Limited as test events are.',
  })
  @ApiAcceptedResponse({ type: TestEventAnswerDto })
  @ApiProblems('not_found', 'conflict', 'invalid_endpoint_url')
  async verify(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriberReference: string,
    @Param('endpoint') endpointReference: string,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TestEventAnswerDto> {
    const endpoint = await this.endpointFor(caller, subscriberReference, endpointReference);
    if (endpoint.verification === 'none')
      throw new Problem('conflict', 'The endpoint asks for no verification; set `verification` first.');
    if (endpoint.pausedAt) throw new Problem('conflict', 'The endpoint is paused; resume it first.');
    await this.limits.admit(endpoint);
    const event = testOf(endpoint, { type: VERIFICATION_EVENT_TYPE, version: null, data: '{}' });
    return this.sent('endpoint.verify', endpoint, { ...event, verifies: true }, caller, request, reply);
  }

  /** The endpoint, if something may be sent to it by hand. */
  private async endpointFor(
    caller: Caller,
    subscriberReference: string,
    endpointReference: string,
  ): Promise<EndpointRow> {
    const subscriber = await subscribersRepository.find(this.database, caller.scope, subscriberReference);
    const endpointId = fromPublicId('ep', endpointReference);
    const endpoint =
      subscriber &&
      endpointId &&
      (await endpointsRepository.find(this.database, caller.scope, subscriber.id, endpointId));
    if (!endpoint) throw new Problem('not_found', 'There is no such endpoint.');
    if (endpoint.disabledAt) throw new Problem('conflict', 'The endpoint is disabled; enable it first.');
    this.endpoints.mayBeSentTo(endpoint);
    return endpoint;
  }

  private async sent(
    action: AuditAction,
    endpoint: EndpointRow,
    event: AcceptableEvent,
    caller: Caller,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<TestEventAnswerDto> {
    const answer = await this.accept.accept({
      scope: caller.scope,
      events: [event],
      idempotency: claimOf(caller, request) ?? null,
    });
    if (answer.replayed) reply.header('idempotency-replayed', 'true');
    tell(this.logger, this.metrics, answer, reply.elapsedTime, caller);
    const [result] = answer.results;
    if (result instanceof Problem) throw ofTest(result);
    // Deleted between the look-up and the transaction.
    if (!result.delivery) throw new Problem('not_found', 'There is no such endpoint.');
    const body = { id: result.id, delivery: result.delivery };
    if (answer.replayed) return body;
    // T1 is a transaction of many callers. The line follows in one of its own: what a crash in between leaves is an event.
    const object = toPublicId('ep', endpoint.id);
    const change = { before: null, after: { event: body.id, delivery: body.delivery } };
    return this.mutations.look(caller, request, () =>
      Promise.resolve({ action, object, subscriberId: endpoint.subscriberId, change, body }),
    );
  }

  private async exampleOf(type: string, version: string | undefined): Promise<string> {
    if (type === TEST_EVENT_TYPE) return GREETING;
    const known = await eventTypesRepository.find(this.database, type);
    const chosen =
      version === undefined ? known?.versions[0] : known?.versions.find((each) => each.version === version);
    return chosen?.example ?? GREETING;
  }
}

function testOf(
  { id, subscriberId }: EndpointRow,
  event: Pick<AcceptableEvent, 'type' | 'version' | 'data'>,
): AcceptableEvent {
  return {
    ...event,
    subscriber: { id: subscriberId },
    occurredAt: null,
    id: null,
    priority: 'normal',
    orderingKey: null,
    traceparent: null,
    testOf: id,
  };
}

/** The fields of the event as this route calls them. */
function ofTest(problem: Problem): Problem {
  const errors = problem.extra.errors?.map((each) =>
    each.pointer === '/type' ? { ...each, pointer: '/eventType' } : each,
  );
  return new Problem(problem.code, problem.detail, { ...problem.extra, ...(errors && { errors }) });
}
