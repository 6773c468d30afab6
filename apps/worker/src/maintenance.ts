import { setTimeout as delay } from 'node:timers/promises';
import type { Logger, Metrics } from '@app/observability';

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
    while (!signal.aborted) {
      let changed = 0;
      try {
        changed = await runOnce();
        if (changed > 0) this.logger.info({ loop: name, changed }, 'maintenance.done');
      } catch (error) {
        this.metrics.maintenanceFailures.inc({ loop: name });
        this.logger.warn({ err: error, loop: name }, 'maintenance.failed');
      }
      if (changed === 0) await delay(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
