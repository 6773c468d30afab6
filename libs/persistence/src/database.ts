import type { Db as QueueDb } from 'pg-boss';
import type { Pool, PoolClient } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { isTransientConflict } from './database-errors.js';

type Row = Record<string, unknown>;

/**
 * The result goes back as pg gives it: pg-boss's supervision sends several statements in one text, whose result is an
 * array, and reads that itself. (With `{ rows }` alone it failed before it came to the expired jobs.)
 */
function queueDb(on: Pool | PoolClient): QueueDb {
  return { executeSql: (text, values) => on.query(text, values) };
}

/** One open transaction. Stages open it and pass it on as the first argument; none is open across the network. */
export class Tx {
  /** The form in which pg-boss takes a caller's transaction. */
  readonly queue: QueueDb;

  constructor(
    private readonly client: PoolClient,
    /** For the ordinary tables. Same connection, same transaction. */
    readonly manager: EntityManager,
  ) {
    this.queue = queueDb(client);
  }

  async query<T extends object = Row>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.client.query(text, values)).rows as T[];
  }

  /** A statement of the hot path: prepared once per connection under its name, so it is planned once. */
  async prepared<T extends object = Row>(name: string, text: string, values: unknown[]): Promise<T[]> {
    return (await this.client.query({ name, text, values })).rows as T[];
  }
}

/** The pool of this process: transactions, single reads, and the pg-boss adapter on the same connections. */
export class Database {
  constructor(private readonly dataSource: DataSource) {}

  get pool(): Pool {
    return (this.dataSource.driver as unknown as { master: Pool }).master;
  }

  /** For pg-boss outside a transaction: fetch, touch, supervise. */
  get queue(): QueueDb {
    return queueDb(this.pool);
  }

  /**
   * Runs `work` in one transaction and commits. A deadlock or serialization failure is run again, twice at most:
   * `work` must have no effect outside the transaction.
   */
  async transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    for (let again = 0; ; again++) {
      try {
        return await this.once(work);
      } catch (error) {
        if (again >= 2 || !isTransientConflict(error)) throw error;
      }
    }
  }

  private async once<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const client = (await runner.connect()) as PoolClient;
      await runner.startTransaction();
      const result = await work(new Tx(client, runner.manager));
      await runner.commitTransaction();
      return result;
    } catch (error) {
      // After a broken connection there is nothing to roll back, and the first error is the one to tell.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    } finally {
      await runner.release();
    }
  }

  /** One statement on any connection. */
  async query<T extends object = Row>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.pool.query(text, values)).rows as T[];
  }

  /** One hot statement on any connection, prepared under its name. */
  async prepared<T extends object = Row>(name: string, text: string, values: unknown[]): Promise<T[]> {
    return (await this.pool.query({ name, text, values })).rows as T[];
  }

  /** For reading the ordinary tables outside a transaction. */
  get manager(): EntityManager {
    return this.dataSource.manager;
  }

  /** Whether this version of the code knows a migration that the database does not have. */
  hasPendingMigrations(): Promise<boolean> {
    return this.dataSource.showMigrations();
  }

  async close(): Promise<void> {
    await this.dataSource.destroy();
  }
}
