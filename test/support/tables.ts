import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** What a test sees of the database from outside: no code of the product in between. */
export interface Tables {
  rows<T extends object>(sql: string, values?: unknown[]): Promise<T[]>;
  /** The only row. */
  row<T extends object>(sql: string, values?: unknown[]): Promise<T>;
  /** Asks until the statement's column `ok` is true; the error shows the row that never became so. */
  until(sql: string, values?: unknown[], timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

const ASK_AGAIN_MS = 25;

export function openTables(databaseUrl: string): Tables {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2, application_name: 'test' });
  // The database may go away under an idle connection: that is what some tests are about.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const rows = async <T extends object>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await pool.query(sql, values)).rows as T[];
  return {
    rows,
    row: async <T extends object>(sql: string, values?: unknown[]) => {
      const found = await rows<T>(sql, values);
      if (found.length !== 1) throw new Error(`${found.length} rows instead of one: ${sql}`);
      return found[0];
    },
    until: async (sql, values, timeoutMs = 15_000) => {
      for (const deadline = performance.now() + timeoutMs; ; await delay(ASK_AGAIN_MS)) {
        const [row] = await rows<{ ok: boolean }>(sql, values);
        if (row?.ok) return;
        if (performance.now() > deadline)
          throw new Error(`Not within ${timeoutMs} ms: ${JSON.stringify(row)} of ${sql}`);
      }
    },
    close: () => pool.end(),
  };
}
