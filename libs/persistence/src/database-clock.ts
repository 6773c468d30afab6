import type { Clock } from '@app/domain';
import type { Database } from './database.js';

const APART_MS_MAX = 1000;
// The quickest answer is believed: the first may have had to make a connection.
const QUESTIONS = 3;

/** Milliseconds that only ever go on, from wherever: `performance.now`. */
export type Monotonic = () => number;

/**
 * The database's time, without asking it each time: measured every few seconds, carried on by the machine's monotonic clock
 * in between. What is signed, recorded and compared with the database is so right on a machine whose own clock is
 * not, also when that is set while we run.
 */
export class DatabaseClock implements Clock {
  /** The database's time when the monotonic clock read 0. */
  private originMs: number | null = null;

  /** The machine's clock minus the monotonic one, when they were last compared. */
  private machineMs = 0;

  constructor(
    private readonly database: Pick<Database, 'query'>,
    private readonly machine: Clock,
    private readonly monotonic: Monotonic,
  ) {}

  /** @throws Error before the first measurement */
  now(): Date {
    if (this.originMs === null) throw new Error('Bug: the database has not been asked for its time');
    return new Date(this.originMs + this.monotonic());
  }

  /**
   * The machine's two clocks have come apart since the last measurement: somebody set the one, or the machine slept, which
   * stops the other. Which it was only the database knows.
   */
  isInDoubt(): boolean {
    return Math.abs(this.machine.now().getTime() - this.monotonic() - this.machineMs) > APART_MS_MAX;
  }

  /** Asks the database. Answers how many seconds the machine's clock is ahead of it. */
  async measure(): Promise<number> {
    let shortestMs = Infinity;
    // On a busy machine it waits for a core on one side only: an answer after 60 ms may be wrong by 30, and attempts begin before their time.
    for (let question = 0; question < QUESTIONS; question++) {
      const askedAt = this.monotonic();
      const [{ now }] = await this.database.query<{ now: number }>(
        'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
      );
      const answeredAt = this.monotonic();
      if (answeredAt - askedAt >= shortestMs) continue;
      shortestMs = answeredAt - askedAt;
      // Read on the way, at the latest when it was sent back; half the way is the least wrong.
      this.originMs = now - (askedAt + answeredAt) / 2;
    }
    this.machineMs = this.machine.now().getTime() - this.monotonic();
    return (this.machine.now().getTime() - this.now().getTime()) / 1000;
  }
}
