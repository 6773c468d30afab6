import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../../support/monotonic.js';
import { percentiles, type Percentiles } from '../statistics.js';
import { Publisher, type ApiTarget, type Refusals } from './target.js';

export interface PublishPacedInput {
  readonly api: ApiTarget;
  readonly perSecond: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface PublishPacedResult {
  readonly accepted: string[];
  /** When each measured event was published, by its id; the warm-up is not in it. */
  readonly calledMs: Map<string, number>;
  readonly latency: Percentiles | null;
  readonly refusals: Refusals;
}

// Enough that a slow answer does not delay the next call: who waits for answers measures only the good moments. With 32 at 1,600/s
// answers of 20 ms made calls queue in here, and that queue was told as the answers' p99: 513 ms, with these 66.
const CONNECTIONS_MIN = 32;
const ANSWER_SECONDS = 0.25;

/** One event every so many milliseconds, whether the one before it is answered or not. */
export async function publishPaced(input: PublishPacedInput): Promise<PublishPacedResult> {
  const connections = Math.max(CONNECTIONS_MIN, Math.ceil(input.perSecond * ANSWER_SECONDS));
  const publisher = new Publisher(input.api, connections);
  const calledMs = new Map<string, number>();
  const answerMs: number[] = [];
  const startMs = monotonicMs();
  const warmups = Math.round(input.warmupSeconds * input.perSecond);
  const events = warmups + Math.round(input.seconds * input.perSecond);

  const underWay: Promise<void>[] = [];
  for (let n = 0; n < events; n++) {
    const waitMs = startMs + (n * 1000) / input.perSecond - monotonicMs();
    if (waitMs > 0) await delay(waitMs);
    underWay.push(publishOne(n));
  }
  await Promise.all(underWay);
  await publisher.close();
  return {
    accepted: publisher.accepted,
    calledMs,
    latency: percentiles(answerMs),
    refusals: publisher.refusals,
  };

  async function publishOne(n: number): Promise<void> {
    const atMs = monotonicMs();
    const id = await publisher.publish(n);
    if (id === null || n < warmups) return;
    calledMs.set(id, atMs);
    answerMs.push(monotonicMs() - atMs);
  }
}
