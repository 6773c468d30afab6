import type { Metrics } from '@app/observability';
import { requestLimitsRepository, type Database } from '@app/persistence';

/** How many requests a window has room for. */
export interface LimitPolicy {
  /** As it stands in the RateLimit headers. */
  name: string;
  quota: number;
}

/** One request, counted for somebody under a policy. */
export interface LimitAsk {
  policy: LimitPolicy;
  /** Whom it counts: the id of a key, a network. */
  who: string;
}

export interface LimitAnswer {
  policy: LimitPolicy;
  allowed: boolean;
  remaining: number;
  /** Whole seconds until the window ends, at least 1. */
  resetSeconds: number;
}

/** Every window has this length: what the headers say of one minute holds for all of them. */
export const WINDOW_SECONDS = 60;
// One statement for this many requests at most; the next ones wait for it in the next.
const GROUP_MAX = 1000;
// A database that takes longer is in trouble: requests go on uncounted, and fail or wait for it by themselves.
const PATIENCE_MS = 1000;
// Who was refused is remembered, so that a flood costs the database nothing. Dropped whole when full: memory is bounded.
const REFUSED_MAX = 10_000;

interface Waiting {
  asks: LimitAsk[];
  resolve: (answers: LimitAnswer[] | null) => void;
}

/**
 * Counts requests exactly over all api processes: in fixed windows in PostgreSQL, on its clock. A window admits its
 * quota and not one more, so the headers are true; over the edge of two windows up to twice the quota may pass within a
 * minute, which is the price. What arrives in one turn of the event loop, or while a statement is under way, is one
 * statement; there is one at a time. (rate-limiter-flexible sends one statement per request and key.)
 */
export class RequestLimits {
  private waiting: Waiting[] = [];
  private readonly refusedUntil = new Map<string, number>();
  private busy = false;
  private stalled = false;

  constructor(
    private readonly database: Database,
    private readonly metrics: Metrics,
    private readonly monotonic: () => number,
  ) {}

  /**
   * Counts a request under each policy. Null: it was not counted, because the database does not answer. It is let in
   * then: nothing can be read or changed without the database anyway, and a limiter must not be what takes us down.
   */
  take(asks: LimitAsk[]): Promise<LimitAnswer[] | null> {
    const refused = this.rememberedRefusals(asks);
    if (refused.length > 0) return Promise.resolve(refused);
    if (this.stalled) return Promise.resolve(this.uncounted(1));
    return new Promise((resolve) => {
      this.waiting.push({ asks, resolve });
      if (this.waiting.length === 1 && !this.busy) setImmediate(() => void this.run());
    });
  }

  /** Takes one request back. Not waited for: losing one count does no harm. */
  giveBack({ policy, who }: LimitAsk): void {
    requestLimitsRepository.giveBack(this.database, nameOf(policy, who)).catch(() => undefined);
  }

  private rememberedRefusals(asks: LimitAsk[]): LimitAnswer[] {
    const now = this.monotonic();
    return asks.flatMap(({ policy, who }) => {
      const until = this.refusedUntil.get(nameOf(policy, who)) ?? 0;
      if (until <= now) return [];
      return [{ policy, allowed: false, remaining: 0, resetSeconds: wholeSeconds((until - now) / 1000) }];
    });
  }

  private async run(): Promise<void> {
    this.busy = true;
    while (this.waiting.length > 0) await this.runGroup(this.waiting.splice(0, GROUP_MAX));
    this.busy = false;
  }

  private async runGroup(group: Waiting[]): Promise<void> {
    const impatient = setTimeout(() => {
      this.stalled = true;
      for (const each of [...group, ...this.waiting.splice(0)]) each.resolve(null);
      this.uncounted(group.length);
    }, PATIENCE_MS);
    try {
      const answers = await this.count(group.map((each) => each.asks));
      group.forEach((each, at) => each.resolve(answers[at]));
    } catch {
      for (const each of group) each.resolve(null);
      if (!this.stalled) this.uncounted(group.length);
    } finally {
      clearTimeout(impatient);
      this.stalled = false;
    }
  }

  private async count(requests: LimitAsk[][]): Promise<LimitAnswer[][]> {
    const counts = new Map<string, number>();
    for (const { policy, who } of requests.flat()) {
      const name = nameOf(policy, who);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    // Read before the statement: a remembered refusal ends no later than the window does.
    const sentAt = this.monotonic();
    const windows = await requestLimitsRepository.take(
      this.database,
      [...counts.keys()],
      [...counts.values()],
      WINDOW_SECONDS,
    );
    const before = new Map(windows.map(({ name, used }) => [name, used - counts.get(name)!]));
    const seconds = new Map(windows.map((window) => [window.name, window.seconds]));
    // In the order in which they came: of those that one statement counted, the first ones pass.
    return requests.map((asks) =>
      asks.map(({ policy, who }) => {
        const name = nameOf(policy, who);
        const used = before.get(name)! + 1;
        before.set(name, used);
        if (used > policy.quota) this.rememberRefusal(name, sentAt + seconds.get(name)! * 1000);
        return {
          policy,
          allowed: used <= policy.quota,
          remaining: Math.max(0, policy.quota - used),
          resetSeconds: wholeSeconds(seconds.get(name)!),
        };
      }),
    );
  }

  private rememberRefusal(name: string, until: number): void {
    if (this.refusedUntil.size >= REFUSED_MAX) this.refusedUntil.clear();
    this.refusedUntil.set(name, until);
  }

  private uncounted(requests: number): null {
    this.metrics.requestsUncounted.inc(requests);
    return null;
  }
}

function nameOf(policy: LimitPolicy, who: string): string {
  return `${policy.name} ${who}`;
}

/** Rounded up: whoever comes back then finds the window ended. */
function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.ceil(seconds));
}
