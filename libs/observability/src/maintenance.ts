import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '@app/domain';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';

const AGAIN_AFTER_MS = 5000;
const FAILURES_COUNTED_MAX = 10;
// What comes once a minute or less often looks through all that is pending, or ends what is old. Workers that start together do so behind
// an outage or a new version, when the database has the most to do: each begins somewhere in its first 15 s. Not later, because some of them
// mend what a crash left, and a worker that crashes again and again has to come to them.
const RARE_MS = 60_000;
const FIRST_WITHIN_MS = 15_000;

/** One loop: a bounded round that answers how much it changed, and how long to wait after one that changed nothing. */
export interface MaintenanceLoop {
  name: string;
  everyMs: number;
  /** Also when it comes rarely: others cannot work without it. */
  atOnce?: true;
  runOnce: () => Promise<number>;
}

/** Until so much time has passed; rejects when the signal comes first. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<unknown>;

/**
 * Runs each loop by itself until stopped. A round that changed something is followed by the next at once, so a
 * backlog of work is done in bounded steps; one that failed is told, counted and tried again at its time.
 */
export class Maintenance {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly loops: MaintenanceLoop[],
    private readonly random: Pick<Random, 'next'>,
    private readonly metrics: Pick<Metrics, 'maintenanceFailures'>,
    private readonly logger: Pick<Logger, 'info' | 'warn'>,
    private readonly wait: Wait = (ms, signal) => delay(ms, undefined, { signal }),
  ) {}

  start(): void {
    this.running = Promise.all(this.loops.map((loop) => this.run(loop)));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run({ name, everyMs, atOnce, runOnce }: MaintenanceLoop): Promise<void> {
    const { signal } = this.stopping;
    let failures = 0;
    if (everyMs >= RARE_MS && !atOnce) await this.pause(this.random.next() * FIRST_WITHIN_MS);
    while (!signal.aborted) {
      let changed = 0;
      let waitMs = everyMs;
      try {
        changed = await runOnce();
        failures = 0;
        if (changed > 0) this.logger.info({ loop: name, changed }, 'maintenance.done');
      } catch (error) {
        this.metrics.maintenanceFailures.inc({ loop: name });
        this.logger.warn({ err: error, loop: name }, 'maintenance.failed');
        // Most often a lock that was not to be had just then: the next ten minutes need not pass for it. Less and less often,
        // because whoever waits for a lock on a table (a day to drop, while a dump reads it) has others wait behind it.
        waitMs = Math.min(everyMs, AGAIN_AFTER_MS * 2 ** failures);
        failures = Math.min(failures + 1, FAILURES_COUNTED_MAX);
      }
      if (changed === 0) await this.pause(waitMs);
    }
  }

  /** Until then, or until all stop. */
  private async pause(ms: number): Promise<void> {
    await this.wait(ms, this.stopping.signal).catch(() => undefined);
  }
}
