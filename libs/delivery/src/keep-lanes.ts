import type { Metrics } from '@app/observability';
import { lanesRepository, type Database } from '@app/persistence';
import type { DeliverQueue } from '@app/queue';
import { promoteHeld } from './promote-held.js';

// Small enough that its locks are felt by nobody, large enough that a disabled endpoint's backlog ends in seconds.
const BATCH = 1000;

/**
 * The loop behind the lanes: ends what may not be sent any more, promotes what no T2 promoted, and compares counts and
 * tickets with the table. Each method is one bounded round and answers how much it changed.
 */
export class KeepLanes {
  constructor(
    private readonly database: Database,
    private readonly queue: Pick<DeliverQueue, 'insert'>,
    private readonly metrics: Metrics,
  ) {}

  /** Pending deliveries of endpoints that were just disabled or deleted become cancelled. */
  cancelStopped(): Promise<number> {
    return this.database.transaction((tx) => lanesRepository.cancelStopped(tx, false, BATCH));
  }

  /** The same whenever that was: for what was being accepted or paused while its endpoint was stopped. */
  cancelLongStopped(): Promise<number> {
    return this.database.transaction((tx) => lanesRepository.cancelStopped(tx, true, BATCH));
  }

  /** Held deliveries of open lanes that have room: after a resume, or when the worker that should have died. */
  async promoteStalled(): Promise<number> {
    const stalled = await lanesRepository.findStalled(this.database, 100);
    if (stalled.length === 0) return 0;
    return promoteHeld(
      this.database,
      this.queue,
      stalled.map((endpointId) => ({ endpointId })),
    );
  }

  /** Corrects lanes whose counts are not those of the table. Should find none. */
  async reconcile(): Promise<number> {
    let corrected = 0;
    for (const endpointId of await lanesRepository.findInexact(this.database, 100))
      if (await this.database.transaction((tx) => lanesRepository.correct(tx, endpointId))) corrected++;
    this.metrics.lanesReconciled.inc(corrected);
    return corrected;
  }

  /** Gives a ticket to pending deliveries that have none and are not held. Should find none. */
  async restoreTickets(): Promise<number> {
    const restored = await this.database.transaction(async (tx) => {
      const found = await lanesRepository.findTicketless(tx, BATCH);
      const tickets = found.map(({ id, endpointId, inSeconds }) => ({
        deliveryId: id,
        endpointId,
        inSeconds,
      }));
      await this.queue.insert(tx, tickets, { notify: true });
      return found.length;
    });
    this.metrics.ticketsRestored.inc(restored);
    return restored;
  }

  /** Sets the gauges that only the database knows. */
  async measure(): Promise<number> {
    const figures = await lanesRepository.figures(this.database);
    this.metrics.deliveriesQueued.set(figures.queued);
    this.metrics.deliveriesHeld.set(figures.held);
    this.metrics.oldestDueSeconds.set(figures.oldestDueSeconds);
    this.metrics.defaultPartitionRows.set(figures.strays);
    return 0;
  }
}
