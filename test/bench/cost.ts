import pg from 'pg';
import { round } from './statistics.js';

/** Per delivery, from the publisher's call to its outcome on record; idle time in between is in it. */
export interface Cost {
  readonly deliveries: number;
  readonly apiCpuMsPerDelivery: number | null;
  readonly workerCpuMsPerDelivery: number | null;
  readonly postgresCpuMsPerDelivery: number | null;
  readonly cpuMsPerDelivery: number | null;
  readonly walBytesPerDelivery: number;
  /** Inserted, updated or deleted, in all tables, the catalogue's too. */
  readonly rowsWrittenPerDelivery: number;
  /** Top-level ones, BEGIN and COMMIT included, of api and workers. */
  readonly statementsPerDelivery: number;
  readonly transactionsPerDelivery: number;
  /** What the tables and indexes grew by. */
  readonly storedBytesPerDelivery: number;
  /** Of 1,000,000 like these: CPU of the three, and it at VCPU_HOUR_USD. */
  readonly millionCpuSeconds: number | null;
  readonly millionCpuUsd: number | null;
  readonly millionWalGb: number;
  readonly millionStoredGb: number;
  /** Kept for RETENTION_DAYS at STORAGE_GB_MONTH_USD. */
  readonly millionStorageUsd: number;
  readonly millionUsd: number | null;
}

/** A small cloud machine on demand: 2 vCPU and 8 GB for 0.09 USD an hour, and its SSD. Round list prices of 2026, to compare with. */
export const VCPU_HOUR_USD = 0.045;
export const STORAGE_GB_MONTH_USD = 0.1;
const RETENTION_DAYS = 30;

/** What is gone so far; the difference of two is what was used between them. */
export interface Usage {
  readonly apiCpuMs: number | null;
  readonly workerCpuMs: number | null;
  readonly postgresCpuMs: number | null;
  readonly walBytes: number;
  readonly statements: number;
  readonly transactions: number;
  readonly rowsWritten: number;
  readonly storedBytes: number;
}

export type DatabaseUsage = Pick<
  Usage,
  'walBytes' | 'statements' | 'transactions' | 'rowsWritten' | 'storedBytes'
>;

/** pg_stat_statements is in the bench's server always: it counts at once, and at a few statements per group costs nothing. */
export const COUNTING = { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'top' };

export async function startCounting(adminUrl: string): Promise<void> {
  await ask(adminUrl, 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  // A history that is kept keeps its counts too.
  await ask(adminUrl, 'SELECT pg_stat_statements_reset()');
}

export async function databaseUsage(adminUrl: string): Promise<DatabaseUsage> {
  const [row] = await ask<Record<keyof DatabaseUsage, string>>(
    adminUrl,
    `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS "walBytes",
            (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE dbid = d.datid
                AND userid IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'posthorn%')) AS statements,
            xact_commit AS transactions, tup_inserted + tup_updated + tup_deleted AS "rowsWritten",
            pg_database_size(datid) AS "storedBytes"
       FROM pg_stat_database d WHERE datname = current_database()`,
  );
  return {
    walBytes: Number(row.walBytes),
    statements: Number(row.statements),
    transactions: Number(row.transactions),
    rowsWritten: Number(row.rowsWritten),
    storedBytes: Number(row.storedBytes),
  };
}

/** A session that ends hands in what it counted; one that idles may keep it for 10 s. */
export async function allSessionsEnded(adminUrl: string): Promise<void> {
  await ask(
    adminUrl,
    `DO $$ BEGIN
       FOR n IN 1..500 LOOP
         PERFORM pg_stat_clear_snapshot();
         EXIT WHEN NOT EXISTS (SELECT 1 FROM pg_stat_activity
                                WHERE datname = current_database() AND usename LIKE 'posthorn%');
         PERFORM pg_sleep(0.02);
       END LOOP;
     END $$`,
  );
}

export function costBetween(from: Usage, to: Usage, deliveries: number): Cost {
  const used = (name: keyof Usage) => difference(from, to, name);
  const each = (name: keyof Usage, digits: number) => perDelivery(from, to, name, deliveries, digits);
  const cpu = [used('apiCpuMs'), used('workerCpuMs'), used('postgresCpuMs')];
  const cpuMs = cpu.includes(null) ? null : cpu.reduce<number>((sum, ms) => sum + ms!, 0) / deliveries;
  const cpuUsd = cpuMs === null ? null : (cpuMs * 1000 * VCPU_HOUR_USD) / 3600;
  const storedGb = (used('storedBytes')! / deliveries) * 1e-3;
  const storageUsd = (storedGb * STORAGE_GB_MONTH_USD * RETENTION_DAYS) / 30;
  return {
    deliveries,
    apiCpuMsPerDelivery: each('apiCpuMs', 4),
    workerCpuMsPerDelivery: each('workerCpuMs', 4),
    postgresCpuMsPerDelivery: each('postgresCpuMs', 4),
    cpuMsPerDelivery: cpuMs === null ? null : round(cpuMs, 4),
    walBytesPerDelivery: each('walBytes', 0)!,
    rowsWrittenPerDelivery: each('rowsWritten', 2)!,
    statementsPerDelivery: each('statements', 3)!,
    transactionsPerDelivery: each('transactions', 3)!,
    storedBytesPerDelivery: each('storedBytes', 0)!,
    millionCpuSeconds: cpuMs === null ? null : round(cpuMs * 1000, 1),
    millionCpuUsd: cpuUsd === null ? null : round(cpuUsd, 4),
    millionWalGb: round((used('walBytes')! / deliveries) * 1e-3, 2),
    millionStoredGb: round(storedGb, 2),
    millionStorageUsd: round(storageUsd, 4),
    millionUsd: cpuUsd === null ? null : round(cpuUsd + storageUsd, 4),
  };
}

export function perDelivery(
  from: Usage,
  to: Usage,
  name: keyof Usage,
  deliveries: number,
  digits = 4,
): number | null {
  const amount = difference(from, to, name);
  return amount === null ? null : round(amount / deliveries, digits);
}

function difference(from: Usage, to: Usage, name: keyof Usage): number | null {
  const [a, b] = [from[name], to[name]];
  return a === null || b === null ? null : b - a;
}

/** Where PostgreSQL's time went, by statement, costliest first. */
export async function costliestStatements(adminUrl: string, count: number): Promise<string[]> {
  const rows = await ask<{ line: string }>(
    adminUrl,
    `SELECT format('%s ms  %s calls  %s ms each  %s rows  %s WAL bytes  %s', round(total_exec_time), calls,
                   round(mean_exec_time::numeric, 3), rows, wal_bytes, left(regexp_replace(query, '\\s+', ' ', 'g'), 160)) AS line
       FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      ORDER BY total_exec_time DESC LIMIT ${count}`,
  );
  return rows.map(({ line }) => line);
}

/** One statement in a session of its own. */
export async function ask<T extends object>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}
