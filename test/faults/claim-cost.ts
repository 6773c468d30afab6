import { DeliverQueue } from '@app/queue';
import type { QueryConfig } from 'pg';
import type { Database } from '@app/persistence';
import { openDatabase } from '../support/fixtures.js';
import type { FaultContext } from './fault-context.js';

interface Explained {
  readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number };
  readonly 'Execution Time': number;
}

const CLAIM_MAX = 128;
const CLAIMS = 7;

/**
 * What one claim costs now, as the pump sends it, on the connection that it uses: pages that it looks at and its time. Each is
 * rolled back. Medians, so that a page that had to be cleaned up first is not in it.
 */
export async function claimCost(context: FaultContext): Promise<{ pages: number; ms: number }> {
  const database = await openDatabase(context.databaseUrl);
  const seen: { pages: number; ms: number }[] = [];
  const { claims } = database;
  const explaining = {
    async query({ text, values }: QueryConfig) {
      // One connection serves all claims of a process, so these three are on it.
      await claims.query('BEGIN');
      const { rows } = await claims.query<{ 'QUERY PLAN': Explained[] }>(
        `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
        values,
      );
      await claims.query('ROLLBACK');
      const [explained] = rows[0]['QUERY PLAN'];
      const pages = explained.Plan['Shared Hit Blocks'] + explained.Plan['Shared Read Blocks'];
      seen.push({ pages, ms: explained['Execution Time'] });
      return { rows: [] };
    },
  };
  const queue = new DeliverQueue({ queue: database.queue, claims: explaining } as unknown as Database, {
    supervise: false,
    on: () => undefined,
  });
  try {
    await queue.start();
    for (let n = 0; n < CLAIMS; n++) await queue.claim(CLAIM_MAX, [], { priorityMin: 1 });
    await queue.stop();
  } finally {
    await database.close();
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return {
    pages: median(seen.map(({ pages }) => pages)),
    ms: Math.round(median(seen.map(({ ms }) => ms)) * 100) / 100,
  };
}
