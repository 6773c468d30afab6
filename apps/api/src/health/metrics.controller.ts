import { Problem } from '@app/contracts';
import { Metrics } from '@app/observability';
import { Controller, Get, Header, Req } from '@nestjs/common';
import { ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { callerOf } from '../edge/caller.js';
import { RequireScope } from '../edge/require-scope.decorator.js';

@ApiTags('Operations')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  /** What Prometheus scrapes. Each api and worker process has its own. */
  @Get()
  @RequireScope('metrics:read')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiProduces('text/plain')
  @ApiOkResponse({ description: 'The text format of Prometheus.', type: String })
  show(@Req() request: FastifyRequest): Promise<string> {
    // They count everybody's events: one customer's key sees no sums of others.
    if (!request.isScraper && callerOf(request).scope.kind !== 'staff')
      throw new Problem('forbidden', 'A key that is bound to one subscriber sees no metrics.');
    return this.metrics.registry.metrics();
  }
}
