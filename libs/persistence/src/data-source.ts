import { API_ROLE, type DatabaseRole } from '@app/contracts';
import { Client } from './client.js';
import { DataSource } from 'typeorm';
import { MIGRATIONS } from '../../../migrations/index.js';
import { ENTITIES } from './entities/index.js';

/** What the bounds of a connection are, in milliseconds; set on every connection of every process. */
export const TIMEOUTS = {
  // Above the longest hot statement seen under load (0.3 s), below a publisher's patience.
  statementMs: 10_000,
  // Lock waits are lanes and deliveries of one group commit; longer means someone hangs.
  lockMs: 5_000,
  // Our transactions never wait for anything but the database.
  idleInTransactionMs: 10_000,
  connectMs: 5_000,
};

export interface DataSourceOptions {
  url: string;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  poolMax: number;
  /** What this process is to the database. Without one it stays who it logs in as: for migrations, which own the tables. */
  role?: DatabaseRole;
  /** Migrations build indexes and may take longer than anything else. */
  statementTimeoutMs?: number;
}

/** How the connections of one process are shared out; 5 at the least. One more than all of them LISTENs, in a worker. */
export function shareOut(poolMax: number): { hot: number; claims: number; ordinary: number } {
  const ordinary = Math.max(2, Math.floor(poolMax * 0.4));
  return { ordinary, claims: 1, hot: Math.max(2, poolMax - ordinary - 1) };
}

/**
 * Set with the connection itself: no statement of ours ever runs as anybody else. Nor does the planner read the CHECKs of each day that a list
 * may touch, to see whether they exclude it (docs/adr/0016): days are told apart by their bounds.
 */
export function sessionOptions(role?: DatabaseRole): string {
  return `-c timezone=UTC -c constraint_exclusion=off${role === undefined ? '' : ` -c role=${role}`}`;
}

/** The one pool of a process. Not yet connected: call `initialize()`. */
export function createDataSource(options: DataSourceOptions): DataSource {
  const statementMs = options.statementTimeoutMs ?? TIMEOUTS.statementMs;
  return new DataSource({
    type: 'postgres',
    url: options.url,
    applicationName: options.applicationName,
    entities: ENTITIES,
    migrations: MIGRATIONS,
    migrationsTransactionMode: 'each',
    // A failed query is thrown and logged at the edge; TypeORM would log it with its parameters.
    logging: false,
    extra: {
      Client,
      max: shareOut(options.poolMax).ordinary,
      poolMax: options.poolMax,
      connectionTimeoutMillis: TIMEOUTS.connectMs,
      keepAlive: true,
      // A half-open connection: the server never answers, so its own timeouts cannot end the statement.
      query_timeout: statementMs + 5_000,
      statement_timeout: statementMs,
      lock_timeout: TIMEOUTS.lockMs,
      idle_in_transaction_session_timeout: TIMEOUTS.idleInTransactionMs,
      options: sessionOptions(options.role),
      // Each statement of the api is a transaction with its caller's scope: sent at once, it is one round trip.
      ...(options.role === API_ROLE ? { pipeline: true, scoped: true } : {}),
    },
  });
}
