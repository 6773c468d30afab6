import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { expect } from 'vitest';
import type { PosthornClient } from '../support/client.js';
import { sha256 } from '../support/fixtures.js';
import { runCli } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';

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
  const rows = async <T extends object>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await pool.query(sql, values)).rows as T[];
  return {
    rows,
    row: async <T extends object>(sql: string, values?: unknown[]) => {
      const found = await rows<T>(sql, values);
      expect(found, sql).toHaveLength(1);
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

/** Publishes `{"n":0}`, `{"n":1}`, … in one request for each thousand, and answers the events' ids. */
export async function publishMany(
  client: PosthornClient,
  subscriber: string,
  count: number,
  type = 'thing.happened',
): Promise<string[]> {
  const ids: string[] = [];
  for (let from = 0; from < count; from += 1000) {
    const events = Array.from({ length: Math.min(1000, count - from) }, (_, at) => ({
      subscriber,
      type,
      data: { n: from + at },
    }));
    const { results } = await client.post<{ results: { id: string }[] }>('/v1/events/batch', { events });
    ids.push(...results.map((result) => result.id));
  }
  return ids;
}

export const webhookIdOf = (entry: JournalEntry): string => entry.headers['webhook-id'] as string;
export const deliveryOf = (entry: JournalEntry): string => entry.headers['posthorn-delivery'] as string;

/** A repeat is the same request: the same webhook-id and equal bytes. Answers the deliveries that were repeated. */
export function expectEqualRepeats(journal: readonly JournalEntry[]): JournalEntry[][] {
  const repeated = [...Map.groupBy(journal, deliveryOf).values()].filter((entries) => entries.length > 1);
  for (const entries of repeated) {
    expect(new Set(entries.map(webhookIdOf)).size).toBe(1);
    expect(new Set(entries.map((entry) => sha256(entry.body))).size).toBe(1);
  }
  return repeated;
}

/** Every promise that SQL can check holds at this moment, whatever runs. */
export async function expectDoctorClean(databaseUrl: string): Promise<void> {
  // The test run's cluster is not durable, and says so; that is not what is asked here.
  const env = { DATABASE_URL: databaseUrl, DANGEROUS_ALLOW_LOSSY_DATABASE: 'true' };
  const { output } = await runCli(['doctor', '--json'], env);
  const { checks } = JSON.parse(output) as { checks: { name: string; ok: boolean }[] };
  expect(checks.length).toBeGreaterThan(8);
  expect(checks.filter((check) => !check.ok)).toEqual([]);
}

/** The value that the fraction `p` of all does not exceed. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)];
}

/** Figures of a run, for who reads the test's output. */
export function tell(what: string, figures: Record<string, number | string>): void {
  const text = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? Math.round(value) : value}`,
  );
  console.log(`${what}: ${text.join(', ')}`);
}
