import type { FaultContext } from './fault-context.js';
import type { Figures } from './fault-row.js';
import type { Expectations } from './invariants.js';
import type { Publishers } from './publishers.js';
import type { Receiver } from '../support/receiver/receiver.js';

/** The load that rows share in which the database goes away, and what publishers may be told meanwhile. */
export class Outage {
  private constructor(
    private readonly context: FaultContext,
    readonly receiver: Receiver,
    readonly publishers: Publishers,
  ) {}

  /** An api, two workers, an endpoint that answers at once and one that answers after 300 ms; publishing has begun. */
  static async begin(context: FaultContext, databaseUrl?: string): Promise<Outage> {
    const receiver = await context.startReceiver();
    const via = databaseUrl === undefined ? {} : { databaseUrl };
    await context.startApi(via);
    await context.subscribe([receiver.url('/ok/a'), receiver.url('/slow/300/b')]);
    await Promise.all([context.startWorker(via), context.startWorker(via)]);
    const publishers = context.startPublishers({ publishers: 6, pauseMs: 60 });
    await publishers.reach(20);
    return new Outage(context, receiver, publishers);
  }

  /** Until an event that is published from now on is accepted and has arrived. */
  async backAfterMs(): Promise<number> {
    const askedAt = performance.now();
    const known = new Set(this.publishers.answered.values());
    await this.publishers.more(1);
    const fresh = [...this.publishers.answered.values()].find((id) => !known.has(id))!;
    await this.receiver.waitFor(1, { filter: { webhookId: fresh, path: '/ok/a' }, timeoutMs: 60_000 });
    return Math.round(performance.now() - askedAt);
  }

  /** @param patienceMs publishers who had no answer by then had given up by themselves: that is no wrong answer */
  async end(expectations: Expectations, patienceMs = Infinity): Promise<Figures> {
    await this.publishers.stop();
    await this.context.settled(60_000);
    const { refusals, answered } = this.publishers;
    const wrong = refusals.filter(
      ({ status, retryAfter, tookMs }) =>
        !(status === null && tookMs >= patienceMs) && (status !== 503 || !/^\d+$/.test(retryAfter ?? '')),
    );
    this.context.check(
      wrong.length === 0,
      `${wrong.length} refusals were no 503 with Retry-After`,
      wrong.slice(0, 3),
    );
    const figures = await this.context.invariants({ answered, ...expectations });
    return {
      ...figures,
      accepted: answered.size,
      refusals: refusals.length,
      refusalMsMax: Math.round(Math.max(0, ...refusals.map(({ tookMs }) => tookMs))),
    };
  }
}
