import { expect } from 'vitest';
import type { PosthornClient } from '../support/client.js';
import { sha256 } from '../support/fixtures.js';
import { runCli } from '../support/processes.js';
import type { JournalEntry } from '../support/receiver/journal.js';

export { openTables, type Tables } from '../support/tables.js';

// Looked for, at the end, everywhere but where payloads belong.
const PAYLOAD_MARK = 'payload-of-an-e2e-test';

/** Publishes `{"n":0,…}`, `{"n":1,…}`, … in one request for each thousand, and answers the events' ids. */
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
      data: { n: from + at, mark: PAYLOAD_MARK },
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
