import { DELIVER_QUEUE } from '@app/contracts';
import { SharedQuestion } from '@app/observability';
import { Database, pendingMigrations } from '@app/persistence';
import { Injectable } from '@nestjs/common';

type Checks = Record<'database' | 'migrations' | 'queue', 'up' | 'down'>;

/** Whether this process can serve: the database answers, its schema is ours, the queue is there. */
@Injectable()
export class Readiness {
  private readonly shared = new SharedQuestion(
    () => this.askAll(),
    () => ({ ...this.checks }),
  );
  private checks = allDown();

  constructor(private readonly database: Database) {}

  /** The state of each check, of which those are down that did not answer soon. Says nothing of causes: who may ask is anybody. */
  check(): Promise<Checks> {
    return this.shared.ask();
  }

  /** One after the other, so on one connection at a time: what stops one stops those behind it. */
  private async askAll(): Promise<Checks> {
    const checks = (this.checks = allDown());
    try {
      await this.database.query('SELECT 1');
      checks.database = 'up';
      if ((await pendingMigrations(this.database)).length === 0) checks.migrations = 'up';
      const rows = await this.database.query('SELECT 1 FROM pgboss.queue WHERE name = $1', [DELIVER_QUEUE]);
      if (rows.length > 0) checks.queue = 'up';
    } catch {
      // What has not answered is down.
    }
    return checks;
  }
}

function allDown(): Checks {
  return { database: 'down', migrations: 'down', queue: 'down' };
}
