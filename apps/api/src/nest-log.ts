import type { Logger } from '@app/observability';
import type { LoggerService } from '@nestjs/common';

/** Nest's own lines in our form. What it tells of its start is for debugging; what it warns of is not. */
export class NestLog implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(detail: unknown, context?: unknown): void {
    this.logger.debug({ detail, context }, 'nest.log');
  }
  debug(detail: unknown, context?: unknown): void {
    this.logger.debug({ detail, context }, 'nest.log');
  }
  verbose(detail: unknown, context?: unknown): void {
    this.logger.debug({ detail, context }, 'nest.log');
  }
  warn(detail: unknown, context?: unknown): void {
    this.logger.warn({ detail, context }, 'nest.warning');
  }
  error(detail: unknown, ...context: unknown[]): void {
    this.logger.error({ detail, context }, 'nest.failed');
  }
  fatal(detail: unknown, ...context: unknown[]): void {
    this.logger.fatal({ detail, context }, 'nest.failed');
  }
}
