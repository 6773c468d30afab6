import { monotonicMs } from '../../support/monotonic.js';
import { percentiles, type Percentiles } from '../statistics.js';
import { Publisher, type ApiTarget, type Refusals } from './target.js';

export interface PublishFlatOutInput {
  readonly api: ApiTarget;
  readonly connections: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface PublishFlatOutResult {
  /** Every accepted event, those of the warm-up included. */
  readonly accepted: string[];
  /** Accepted within the measured seconds. */
  readonly acceptedInWindow: number;
  readonly fromMs: number;
  readonly untilMs: number;
  /** From call to answer. */
  readonly latency: Percentiles | null;
  readonly refusals: Refusals;
}

// A minute at 10,000 a second. Beyond it the percentiles are of the first so many.
const SAMPLES_MAX = 600_000;

/** One event per call, each connection sending its next when its last is answered. */
export async function publishFlatOut(input: PublishFlatOutInput): Promise<PublishFlatOutResult> {
  const publisher = new Publisher(input.api, input.connections);
  const fromMs = monotonicMs() + input.warmupSeconds * 1000;
  const untilMs = fromMs + input.seconds * 1000;
  const samplesMs: number[] = [];
  let [n, acceptedInWindow] = [0, 0];

  await Promise.all(Array.from({ length: input.connections }, loop));
  await publisher.close();
  const { accepted, refusals } = publisher;
  return { accepted, acceptedInWindow, fromMs, untilMs, latency: percentiles(samplesMs), refusals };

  async function loop(): Promise<void> {
    for (let calledMs = monotonicMs(); calledMs < untilMs; calledMs = monotonicMs()) {
      const id = await publisher.publish(n++);
      const answeredMs = monotonicMs();
      if (id === null || answeredMs < fromMs || answeredMs >= untilMs) continue;
      acceptedInWindow++;
      if (samplesMs.length < SAMPLES_MAX) samplesMs.push(answeredMs - calledMs);
    }
  }
}
