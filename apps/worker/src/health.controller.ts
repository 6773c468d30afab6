import { Controller, Get, Header, Inject, Req, Res, UnauthorizedException } from '@nestjs/common';
import type { Metrics, ScraperKey } from '@app/observability';
import { Database } from '@app/persistence';
import type { FastifyReply, FastifyRequest } from 'fastify';

export const METRICS = Symbol('Metrics');
export const SCRAPER_KEY = Symbol('ScraperKey');

/** For the orchestrator and the scraper; it tells nothing about any customer. */
@Controller()
export class HealthController {
  constructor(
    private readonly database: Database,
    @Inject(METRICS) private readonly metrics: Metrics,
    @Inject(SCRAPER_KEY) private readonly key: ScraperKey,
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
  scrape(@Req() { headers }: FastifyRequest): Promise<string> {
    if (this.key.isSet && !this.key.isIn(headers)) throw new UnauthorizedException();
    return this.metrics.registry.metrics();
  }
}
