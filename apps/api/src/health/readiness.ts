import { DELIVER_QUEUE } from '@app/contracts';
import { Database, pendingMigrations } from '@app/persistence';
import { Injectable } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';

// A probe that hangs is a probe that failed; balancers ask every few seconds.
const TIMEOUT_MS = 2_000;

/** Whether this process can serve: the database answers, its schema is ours, the queue is there. */
@Injectable()
export class Readiness {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly database: Database,
  ) {}

  /** The state of each check. Says nothing of causes: who may ask is anybody. */
  async check(): Promise<Record<string, 'up' | 'down'>> {
    const answer = await this.health
      .check([
        () => this.attempt('database', () => this.database.query('SELECT 1')),
        () => this.attempt('migrations', () => this.migrationsAreDone()),
        () => this.attempt('queue', () => this.queueIsThere()),
      ])
      .then(
        (result) => result.details,
        (error: { getResponse?(): unknown }) =>
          (error.getResponse?.() as { details?: unknown } | undefined)?.details,
      );
    if (!answer) throw new Error('Bug: terminus answered without details');
    const details = Object.entries(answer as Record<string, { status: string }>);
    return Object.fromEntries(details.map(([name, { status }]) => [name, status === 'up' ? 'up' : 'down']));
  }

  private async attempt(name: string, work: () => Promise<unknown>): Promise<HealthIndicatorResult> {
    return this.indicators
      .check(name)
      .attempt(async () => void (await work()))
      .withTimeout(TIMEOUT_MS);
  }

  private async migrationsAreDone(): Promise<void> {
    const pending = await pendingMigrations(this.database);
    if (pending.length > 0) throw new Error(`pending: ${pending.join(', ')}`);
  }

  private async queueIsThere(): Promise<void> {
    const rows = await this.database.query('SELECT 1 FROM pgboss.queue WHERE name = $1', [DELIVER_QUEUE]);
    if (rows.length === 0) throw new Error('the queue does not exist');
  }
}
