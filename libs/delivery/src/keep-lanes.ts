import { DELIVERY_FAILED_TYPE } from '@app/contracts';
import { DEFAULT_RETRY_POLICY, newId, ticketPriority, type Clock, type Random } from '@app/domain';
import type { Logger, Metrics } from '@app/observability';
import {
  lanesRepository,
  laneStateRepository,
  noticesRepository,
  orderingRepository,
  recordRepository,
  type Database,
  type ExpiredDelivery,
  type NewNotice,
} from '@app/persistence';
import type { DeliverQueue } from '@app/queue';
import { tellTransition } from './lane-signals.js';
import { promoteHeld } from './promote-held.js';
import { sendProbe } from './send-probe.js';

// Small enough that its locks are felt by nobody, large enough that a disabled endpoint's backlog ends in seconds.
const BATCH = 1000;
const LANES_MAX = 100;

/**
 * The loop behind the lanes: ends what may not be sent any more, promotes what no T2 promoted, sends probes, and compares
 * counts and tickets with the table. Each method is one bounded round and answers how much it changed.
 */
export class KeepLanes {
  /** Where the last round of stalled lanes ended: lanes that stay stalled must not hide others. */
  private stalledAfter: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly queue: Pick<DeliverQueue, 'insert' | 'withdraw' | 'notify'>,
    private readonly clock: Clock,
    private readonly random: Random,
    private readonly metrics: Metrics,
    private readonly logger: Logger,
    /** The operator is told of failures. */
    private readonly options: { operational: boolean } = { operational: false },
  ) {}

  /** Pending deliveries of endpoints that were just disabled or deleted become cancelled. */
  cancelStopped(): Promise<number> {
    return this.database.transaction((tx) => lanesRepository.cancelStopped(tx, false, BATCH));
  }

  /** The same whenever that was: for what was being accepted or paused while its endpoint was stopped. */
  cancelLongStopped(): Promise<number> {
    return this.database.transaction((tx) => lanesRepository.cancelStopped(tx, true, BATCH));
  }

  /** Held deliveries of open lanes that have room: after a resume, when the worker that should have died, or for workers beside one that takes them on; not of lanes that this worker serves itself. */
  async promoteStalled(served: ReadonlySet<string> = new Set()): Promise<number> {
    const found = await lanesRepository.findStalled(this.database, this.stalledAfter, LANES_MAX);
    this.stalledAfter = found.length === LANES_MAX ? found[LANES_MAX - 1] : null;
    const stalled = found.filter((endpointId) => !served.has(endpointId));
    return stalled.length === 0 ? 0 : this.promote(stalled);
  }

  /** Held deliveries of these lanes, as far as they have room. */
  async promote(endpointIds: string[]): Promise<number> {
    return (await promoteHeld(this.database, this.queue, endpointIds)).count;
  }

  /** A probe for each circuit whose time has come. */
  async sendProbes(): Promise<number> {
    let sent = 0;
    for (const endpointId of await laneStateRepository.findProbes(this.database, LANES_MAX)) {
      const transition = await sendProbe(this.database, this.queue, this.random, endpointId);
      if (!transition) continue;
      tellTransition(this.metrics, this.logger, transition);
      sent++;
    }
    return sent;
  }

  /**
   * Takes retries that are due out of the queue where they could not be made anyway: their circuit is not closed, or a
   * worker says that the endpoint has more due than it may start, and does not answer. Else every claim would step over them, one by one.
   */
  async sideline(saturated: readonly string[]): Promise<number> {
    const shut = await lanesRepository.findShut(this.database, LANES_MAX);
    const lanes = [...new Set([...shut, ...saturated.slice(0, LANES_MAX)])];
    if (lanes.length === 0) return 0;
    return this.database.hotTransaction(async (tx) => {
      const due = await lanesRepository.lockDueRetries(tx, lanes, BATCH);
      if (due.length === 0) return 0;
      const withdrawn = await this.queue.withdraw(tx, due);
      const held = due.filter((id) => withdrawn.has(id));
      if (held.length > 0) await lanesRepository.holdRetries(tx, held);
      return held.length;
    });
  }

  /** Held deliveries that have become too old for their policy fail: their age goes on while a circuit is open. */
  async expireHeld(): Promise<number> {
    const { ageMaxSeconds } = DEFAULT_RETRY_POLICY;
    const found = await lanesRepository.findExpired(this.database, ageMaxSeconds, LANES_MAX);
    if (found.length === 0) return 0;
    return this.database.hotTransaction(async (tx) => {
      const locked = [...(await recordRepository.lockHeld(tx, found))];
      if (locked.length === 0) return 0;
      const expired = await lanesRepository.expire(tx, locked);
      const notices = expired.flatMap((delivery) => this.noticeOf(delivery));
      if (notices.length > 0) await noticesRepository.add(tx, notices);
      return locked.length;
    });
  }

  private noticeOf({ id, subscriberId, endpointId, eventType, tellsFailures }: ExpiredDelivery): NewNotice[] {
    if (eventType === DELIVERY_FAILED_TYPE || !(tellsFailures || this.options.operational)) return [];
    const detail = { failure: 'expired', gaveUp: 'too_old' };
    const noticeId = newId(this.clock.now().getTime(), this.random);
    return [{ id: noticeId, subscriberId, endpointId, kind: 'delivery.failed', deliveryId: id, detail }];
  }

  /** Corrects lanes whose counts are not those of the table. Should find none. */
  async reconcile(): Promise<number> {
    let corrected = 0;
    for (const endpointId of await lanesRepository.findInexact(this.database, LANES_MAX))
      if (await this.database.transaction((tx) => lanesRepository.correct(tx, endpointId))) corrected++;
    this.metrics.lanesReconciled.inc(corrected);
    return corrected;
  }

  /** Gives a ticket to pending deliveries that have none and are not held. Should find none. */
  async restoreTickets(): Promise<number> {
    const restored = await this.database.transaction(async (tx) => {
      const found = await lanesRepository.findTicketless(tx, BATCH);
      const tickets = found.map(({ id, ...ticket }) => ({
        ...ticket,
        deliveryId: id,
        priority: ticketPriority(ticket),
      }));
      await this.queue.insert(tx, tickets, { notify: true });
      return found.length;
    });
    this.metrics.ticketsRestored.inc(restored);
    return restored;
  }

  /**
   * Frees ordering keys whose delivery has ended without saying so; should find none, but at endpoints that were deleted. And
   * clears away those of them that are empty.
   */
  async freeKeys(): Promise<number> {
    const freed = await this.database.transaction((tx) => orderingRepository.freeStale(tx, BATCH));
    this.metrics.orderingKeysFreed.inc(freed.length);
    const left = await orderingRepository.findLeftOver(this.database, LANES_MAX);
    if (left.length > 0) await this.promote(left);
    return freed.length;
  }

  /** Sets the gauges that only the database knows. */
  async measure(): Promise<number> {
    const figures = await lanesRepository.figures(this.database);
    this.metrics.deliveriesQueued.set(figures.queued);
    this.metrics.deliveriesHeld.set(figures.held);
    this.metrics.oldestDueSeconds.set(figures.oldestDueSeconds);
    this.metrics.defaultPartitionRows.set(figures.strays);
    this.metrics.circuitsOpen.set(figures.open);
    return 0;
  }
}
