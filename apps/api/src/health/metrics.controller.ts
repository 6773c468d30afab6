import { Metrics } from '@app/observability';
import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';

@ApiTags('Operations')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  /** What Prometheus scrapes. Each api and worker process has its own. */
  @Get()
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @ApiProduces('text/plain')
  @ApiOkResponse({ description: 'The text format of Prometheus.', type: String })
  show(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}
