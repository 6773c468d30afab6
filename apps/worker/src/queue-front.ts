import type { ClaimOf } from '@app/queue';

// A ticket is as old as the transaction that made it, and seen when that commits.
const COMMITS_WITHIN_MS = 250;
// So long nothing in front is looked at: what a slow commit or a supervisor brings there, or a rate whose time comes, is claimed that much later. Longer when
// looking takes long.
const VALID_MS = 250;
const VALID_MS_MAX = 1000;
const LOOK_SHARE = 1 / 10;

interface Looked {
  /** Of these is all that waits and is older than `sinceMs`. */
  except: ReadonlySet<string>;
  /** On the database's clock. */
  sinceMs: number;
  untilMs: number;
}

/** A claim before it is made: where it may begin, and when that was asked. */
export interface Beginning {
  of: ClaimOf;
  except: readonly string[];
  /** Nothing older need be looked at; null: all of it. */
  since: Date | null;
  /** Then all of it is looked at again. */
  untilMs: number;
  askedAtMs: number;
  databaseMs: number;
}

/**
 * Where in the queue a claim may begin. One that brought less than it asked for has seen all there is: what it left is of endpoints that it left out.
 * The next that leaves out these, too, would step over it again, ticket by ticket: over 20,000 of a backlog in 30 ms, sixteen times a second
 * (docs/adr/0019).
 */
export class QueueFront {
  /** By the kind of claim: of which priorities. */
  private readonly looked = new Map<string, Looked>();

  constructor(
    private readonly nowMs: () => number,
    private readonly databaseClock: { now(): Date },
  ) {}

  beginning(of: ClaimOf, except: readonly string[]): Beginning {
    const [askedAtMs, databaseMs] = [this.nowMs(), this.databaseClock.now().getTime()];
    const looked = isOfFirsts(of) ? this.looked.get(kindOf(of)) : undefined;
    const holds = looked && askedAtMs <= looked.untilMs && isWithin(looked.except, except);
    const [since, untilMs] = holds ? [new Date(looked.sinceMs), looked.untilMs] : [null, askedAtMs];
    return { of, except, since, untilMs, askedAtMs, databaseMs };
  }

  /** What came of it. */
  ended({ of, except, since, untilMs, askedAtMs, databaseMs }: Beginning, full: boolean): void {
    // With nobody left out there is nothing to step over.
    if (full || except.length === 0 || !isOfFirsts(of)) return;
    const tookMs = this.nowMs() - askedAtMs;
    const validMs = Math.min(Math.max(VALID_MS, tookMs / LOOK_SHARE), VALID_MS_MAX);
    this.looked.set(kindOf(of), {
      except: new Set(except),
      sinceMs: databaseMs - COMMITS_WITHIN_MS,
      // One that began here has not seen what is in front.
      untilMs: since ? untilMs : askedAtMs + validMs,
    });
  }
}

function isWithin(some: ReadonlySet<string>, all: readonly string[]): boolean {
  if (some.size > all.length) return false;
  const known = new Set(all);
  for (const each of some) if (!known.has(each)) return false;
  return true;
}

/** Retries come due in another order than they were made. */
function isOfFirsts({ priorityMin = 0 }: ClaimOf): boolean {
  return priorityMin > 0;
}

function kindOf({ priorityMin, priorityMax }: ClaimOf): string {
  return `${priorityMin} ${priorityMax}`;
}
