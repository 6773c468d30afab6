import { setTimeout as delay } from 'node:timers/promises';
import type { PosthornClient } from '../support/client.js';

// Looked for, at the end, everywhere but where payloads belong.
export const PAYLOAD_MARK = 'payload-of-a-fault-row';

export interface Refusal {
  readonly atMs: number;
  readonly tookMs: number;
  /** Null: no answer at all. */
  readonly status: number | null;
  readonly retryAfter: string | null;
}

export interface PublisherOptions {
  /** How many publish at the same time. */
  readonly publishers?: number;
  /** Each waits so long after an event. */
  readonly pauseMs?: number;
  readonly subscriber?: string;
  /** Asked before each request: the api may have been replaced. */
  readonly client: () => PosthornClient;
}

/**
 * Well-behaved publishers: each event has a key, and a request without a 202 is asked again with the same key, until
 * it is answered. What they were told is what a fault must not break.
 */
export class Publishers {
  /** What each key was answered. */
  readonly answered = new Map<string, string>();
  readonly refusals: Refusal[] = [];
  /** Answers that were those of an earlier request. */
  replayed = 0;
  private done = false;
  private readonly running: Promise<void>[];
  private readonly waiting: { count: number; resolve: () => void }[] = [];

  constructor(private readonly options: PublisherOptions) {
    this.running = Array.from({ length: options.publishers ?? 8 }, async (_, publisher) => {
      for (let n = 0; !this.done; n++) {
        await this.publishOne(`order-${publisher}-${n}`);
        if (options.pauseMs) await delay(options.pauseMs);
      }
    });
  }

  /** Resolves when so many events have been answered. */
  reach(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push({ count, resolve });
      this.wake();
    });
  }

  more(count: number): Promise<void> {
    return this.reach(this.answered.size + count);
  }

  /** No new events; those under way are asked again until they are answered. */
  async stop(): Promise<void> {
    this.done = true;
    await Promise.all(this.running);
  }

  /** At the end of a row that failed: nobody will answer any more. */
  abandon(): void {
    this.done = true;
    this.abandoned = true;
  }
  private abandoned = false;

  private async publishOne(key: string): Promise<void> {
    const body = {
      subscriber: this.options.subscriber ?? 'c',
      type: 'thing.happened',
      data: { key, mark: PAYLOAD_MARK },
    };
    while (!this.abandoned) {
      const askedAt = performance.now();
      const answer = await this.options
        .client()
        .request<{ id: string }>('POST', '/v1/events', body, { 'idempotency-key': key })
        .catch(() => null);
      if (answer?.status === 202) {
        this.answered.set(key, answer.body.id);
        if (answer.headers.get('idempotency-replayed') === 'true') this.replayed++;
        this.wake();
        return;
      }
      this.refusals.push({
        atMs: askedAt,
        tookMs: performance.now() - askedAt,
        status: answer?.status ?? null,
        retryAfter: answer?.headers.get('retry-after') ?? null,
      });
      // Nobody listens for a moment: asking in a loop would only take the processor from who is to listen.
      await delay(50);
    }
  }

  private wake(): void {
    for (const each of this.waiting.filter(({ count }) => count <= this.answered.size)) {
      this.waiting.splice(this.waiting.indexOf(each), 1);
      each.resolve();
    }
  }
}
