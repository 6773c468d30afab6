import { percentiles, type Percentiles } from '../statistics.js';
import { Publisher, type ApiTarget, type Refusals } from './target.js';

export interface PublishBatchesInput {
  readonly api: ApiTarget;
  readonly events: number;
  readonly batchEvents?: number;
  readonly callsAtOnce?: number;
}

export interface PublishBatchesResult {
  readonly accepted: string[];
  readonly refusals: Refusals;
  readonly tookMs: number;
  /** From call to answer. */
  readonly latency: Percentiles | null;
}

// Of the most that one call takes, 1.1 MB with our payload. A few at a time: the api parses one while another commits.
const BATCH_EVENTS = 1000;
const CALLS_AT_ONCE = 4;

/** Lays in so many events as fast as the api takes them. */
export async function publishBatches({
  api,
  events,
  batchEvents = BATCH_EVENTS,
  callsAtOnce = CALLS_AT_ONCE,
}: PublishBatchesInput): Promise<PublishBatchesResult> {
  const publisher = new Publisher(api, callsAtOnce);
  const answersMs: number[] = [];
  const startedAt = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: callsAtOnce }, sendBatches));
  const tookMs = performance.now() - startedAt;
  await publisher.close();
  const { accepted, refusals } = publisher;
  return { accepted, refusals, tookMs, latency: percentiles(answersMs) };

  async function sendBatches(): Promise<void> {
    while (next < events) {
      const from = next;
      next = Math.min(events, next + batchEvents);
      const batch = Array.from({ length: next - from }, (_, i) => publisher.event(from + i));
      const calledAt = performance.now();
      const answer = await publisher.post('/v1/events/batch', `{"events":[${batch.join(',')}]}`);
      answersMs.push(performance.now() - calledAt);
      if (answer === null) return;
      const { results } = JSON.parse(answer) as { results: { id?: string; error?: unknown }[] };
      for (const result of results) {
        if (result.id !== undefined) publisher.accepted.push(result.id);
        else publisher.refuse(JSON.stringify(result.error));
      }
    }
  }
}
