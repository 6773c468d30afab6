import { Controller, Get, Header, Inject, Res } from '@nestjs/common';
import type { Metrics } from '@app/observability';
import { Database } from '@app/persistence';
import type { FastifyReply } from 'fastify';

export const METRICS = Symbol('Metrics');

/** For the orchestrator and the scraper; no key, so it tells nothing about any customer. */
@Controller()
export class HealthController {
  constructor(
    private readonly database: Database,
    @Inject(METRICS) private readonly metrics: Metrics,
  ) {}

  @Get('health/live')
  live(): { status: string } {
    return { status: 'ok' };
  }

  @Get('health/ready')
  async ready(
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ status: string; database: string }> {
    try {
      await this.database.query('SELECT 1 FROM pgboss.queue LIMIT 1');
      return { status: 'ok', database: 'up' };
    } catch {
      reply.status(503);
      return { status: 'error', database: 'down' };
    }
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  scrape(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}
