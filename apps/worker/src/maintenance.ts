import { setTimeout as delay } from 'node:timers/promises';
import type { Logger, Metrics } from '@app/observability';

const AGAIN_AFTER_MS = 5000;
const FAILURES_COUNTED_MAX = 10;

/** One loop: a bounded round that answers how much it changed, and how long to wait after one that changed nothing. */
export interface MaintenanceLoop {
  name: string;
  everyMs: number;
  runOnce: () => Promise<number>;
}

/**
 * Runs each loop by itself until stopped. A round that changed something is followed by the next at once, so a
 * backlog of work is done in bounded steps; one that failed is told, counted and tried again at its time.
 */
export class Maintenance {
  private readonly stopping = new AbortController();
  private running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly loops: MaintenanceLoop[],
    private readonly metrics: Metrics,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running = Promise.all(this.loops.map((loop) => this.run(loop)));
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run({ name, everyMs, runOnce }: MaintenanceLoop): Promise<void> {
    const { signal } = this.stopping;
    let failures = 0;
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
      if (changed === 0) await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
