import { Problem } from '@app/contracts';
import { AcceptedEventDto, BatchAnswerDto, PublishBatchDto, PublishEventDto } from '@app/dto';
import type { Clock } from '@app/domain';
import { AcceptEvents, type AcceptAnswer, type ParsedEvent } from '@app/ingest';
import { Metrics, type Logger } from '@app/observability';
import { Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiBody, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { claimOf } from '../edge/mutations.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { CLOCK, LOGGER } from '../tokens.js';
import { parseBatch, parseEvent } from './parse-events.js';
import { refusalOf, tell } from './publish-answers.js';

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

@ApiTags('Publish')
@Controller('v1/events')
export class EventsController {
  constructor(
    private readonly accept: AcceptEvents,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly metrics: Metrics,
  ) {}

  @Post()
  @HttpCode(202)
  @RequireScope('events:write')
  @ApiOperation({
    summary: 'Publish an event',
    description:
      'Makes one delivery for each endpoint of the subscriber that wants its type. What was answered 202 is safe: it is delivered, or shown as failed. Send an `Idempotency-Key` to be able to ask again after a lost answer.\n\nWhile a subscriber has as many deliveries pending as it may (2,000,000, unless the operator says otherwise), an event that would make more is answered `backlog_full`: it is not stored, and the same `Idempotency-Key` can be used again. While all together have as many as may be, publishing is answered `unavailable`.',
  })
  @ApiBody({ type: PublishEventDto })
  @ApiAcceptedResponse({ type: AcceptedEventDto })
  @ApiProblems(
    'unknown_subscriber',
    'unknown_event_type',
    'unknown_event_type_version',
    'invalid_event_id',
    'event_id_in_use',
    'backlog_full',
  )
  async publish(
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<AcceptedEventDto> {
    const event = parseEvent(textOf(request), this.clock.now().getTime(), traceparentOf(request));
    const { results } = await this.run(caller, request, reply, [event]);
    const [result] = results;
    if (result instanceof Problem) throw result;
    return result;
  }

  @Post('batch')
  @HttpCode(202)
  @RequireScope('events:write')
  @ApiOperation({
    summary: 'Publish up to 1,000 events',
    description:
      'Each event is accepted or refused by itself; the answer has one result per event, in order: `id` or `error`. Refused events are not stored; those with a `retryAfterSeconds` can be published again as they are: by themselves, in a request with another `Idempotency-Key`, because the same one repeats this answer. The whole body may have 4 MiB, each `data` 512 KiB.',
  })
  @ApiBody({ type: PublishBatchDto })
  @ApiAcceptedResponse({ type: BatchAnswerDto })
  async publishBatch(
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<BatchAnswerDto> {
    const events = parseBatch(textOf(request), this.clock.now().getTime(), traceparentOf(request));
    const { results } = await this.run(caller, request, reply, events);
    return {
      results: results.map((result, at) =>
        result instanceof Problem ? { error: refusalOf(result, `/events/${at}`) } : result,
      ),
    };
  }

  private async run(
    caller: Caller,
    request: FastifyRequest,
    reply: FastifyReply,
    events: (ParsedEvent | Problem)[],
  ): Promise<AcceptAnswer> {
    const answer = await this.accept.accept({
      scope: caller.scope,
      events,
      idempotency: claimOf(caller, request) ?? null,
    });
    if (answer.replayed) reply.header('idempotency-replayed', 'true');
    tell(this.logger, this.metrics, answer, reply.elapsedTime, caller);
    return answer;
  }
}

function textOf(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : '';
}

/** A trace that is not well-formed is ignored whole, as its specification asks. */
function traceparentOf(request: FastifyRequest): string | null {
  const value = request.headers.traceparent;
  return typeof value === 'string' && TRACEPARENT.test(value) ? value : null;
}
