import type { ClaimOf } from '@app/queue';

/** What kinds of attempts share a worker's slots. */
export type TicketClass = 'critical' | 'normal' | 'retry';

/** One claim to make: of which tickets, and how many. */
export interface ClaimPlan extends ClaimOf {
  max: number;
}

// Retries, replays included, while first attempts wait. At least two, or a small worker would never retry.
const RETRY_SHARE = 0.2;
const RETRY_SLOTS_MIN = 2;
// With no first attempt waiting: what comes next still finds slots.
const RETRY_SHARE_IDLE = 0.6;
// Critical first attempts: as many as this while normal ones wait, and a few that nobody else may take.
const CRITICAL_SHARE = 0.5;
const CRITICAL_RESERVE = 0.1;
// What is kept for critical ones is looked for at most so often while all other slots are taken, and that long after whoever asks sooner.
const CRITICAL_EVERY_MS = 25;
const SLOTS_TO_SHARE_MIN = 4;
// Whoever publishes critical events goes on doing so for a while.
const CRITICAL_SEEN_MS = 10_000;
// Retries are looked for so often while first attempts keep the worker busy: it costs a statement.
const RETRIES_EVERY_MS = 50;

/** How a worker's slots are shared between critical first attempts, normal ones, and retries. */
export class ClassBudgets {
  private readonly underWay: Record<TicketClass, number> = { critical: 0, normal: 0, retry: 0 };
  private retriesAt = -Infinity;
  private criticalAt = -Infinity;
  private criticalSeenAt = -Infinity;
  private firstsWait = false;
  private normalsTurn = false;

  constructor(
    private readonly slots: number,
    private readonly nowMs: () => number,
  ) {}

  start(of: TicketClass): void {
    this.underWay[of]++;
    if (of === 'critical') this.criticalSeenAt = this.nowMs();
    if (of !== 'retry') this.normalsTurn = of === 'critical' && this.slots < SLOTS_TO_SHARE_MIN;
  }

  end(of: TicketClass): void {
    this.underWay[of]--;
  }

  /** How many of so many free slots others than critical ones may take. */
  roomForOthers(free: number): number {
    return Math.max(0, free - this.reserve);
  }

  /** How many retries may be started now, by their share. */
  get retryRoom(): number {
    const share = this.firstsWait ? RETRY_SHARE : RETRY_SHARE_IDLE;
    return Math.max(0, Math.max(RETRY_SLOTS_MIN, Math.floor(this.slots * share)) - this.underWay.retry);
  }

  /** The claim for first attempts with so many free slots, or null when what is free is kept for others. */
  planFirsts(free: number): ClaimPlan | null {
    if (free <= 0) return null;
    const max = this.roomForOthers(free);
    if (max === 0) {
      if (this.nowMs() - this.criticalAt < CRITICAL_EVERY_MS) return null;
      this.criticalAt = this.nowMs();
      return { max: free, priorityMin: 2 };
    }
    const criticalMax = Math.max(1, Math.floor(this.slots * CRITICAL_SHARE));
    // With so few slots half of them is all or nothing: the two take turns, told by what started last.
    if (this.underWay.critical >= criticalMax || this.normalsTurn)
      return { max, priorityMin: 1, priorityMax: 1 };
    // One claim answers in no order, so critical ones are claimed for themselves while there are any.
    if (this.nowMs() - this.criticalSeenAt < CRITICAL_SEEN_MS)
      return { max: Math.min(free, criticalMax - this.underWay.critical), priorityMin: 2 };
    return { max, priorityMin: 1 };
  }

  /** In how long a critical one that comes now would be looked for, while all but what is kept for them is taken. */
  get criticalInMs(): number {
    return Math.max(0, CRITICAL_EVERY_MS - (this.nowMs() - this.criticalAt));
  }

  /** What the claim for first attempts found: whether more of them wait. */
  firstsClaimed(wait: boolean): void {
    this.firstsWait = wait;
  }

  get firstsAreWaiting(): boolean {
    return this.firstsWait;
  }

  /** The claim for retries, or null when it is not their time. */
  planRetries(free: number): ClaimPlan | null {
    const max = Math.min(this.roomForOthers(free), this.retryRoom);
    const now = this.nowMs();
    if (max <= 0 || (this.firstsWait && now - this.retriesAt < RETRIES_EVERY_MS)) return null;
    this.retriesAt = now;
    return { max, priorityMax: 0 };
  }

  /** After the first claim of first attempts: those of the other class. Critical ones beyond their share, when normal ones have run out. */
  planLeftovers(free: number, firsts: ClaimPlan | null): ClaimPlan | null {
    if (firsts === null || free <= 0) return null;
    if (firsts.priorityMax === 1) return { max: free, priorityMin: 2 };
    const max = this.roomForOthers(free);
    return firsts.priorityMin === 2 && max > 0 ? { max, priorityMin: 1, priorityMax: 1 } : null;
  }

  /** Slots that only critical ones may take now. */
  private get reserve(): number {
    return Math.max(0, Math.floor(this.slots * CRITICAL_RESERVE) - this.underWay.critical);
  }
}
