import type { Ticket } from '@app/queue';
import type { TicketClass } from './class-budgets.js';

/** A ticket of this worker, and what it counts as among its slots. */
export interface ClaimedTicket extends Ticket {
  of: TicketClass;
  /** By the worker's clock, before it asked for it. */
  claimedAtMs: number;
}

/** How many slots a worker has, and how many of them may go to one of a kind. */
export interface Shares {
  /** Requests under way at most. */
  slots: number;
  perEndpointMax: number;
  perHostMax: number;
}

/** Whom an endpoint shares slots with: known once its row was loaded. */
export interface Tag {
  subscriberId: string;
  host: string;
  /** How many of its requests may be under way: its lane's window. */
  window: number;
}

// Dynamic thresholds, as switches share their memory: an endpoint may have as many requests under way as there are free
// slots, a subscriber seven times as many. Eight that hang take 28 each of 256 and leave 28, and one alone is bound only by its own maximum.
const ENDPOINT_SHARE = 1;
const SUBSCRIBER_SHARE = 7;
// The last slots go to endpoints that have none. Without them thirteen endpoints that begin to hang one after the other take all of
// 256, each half of what the one before left, and nobody starts anything until the first deadline. Most of them are those that are kept for
// critical events (ClassBudgets): of 256, others find 7 of the last 32, so twenty that hang leave 7 and not 32 to what is not critical.
const NEWCOMERS_SHARE = 1 / 8;
// Of endpoints that have nothing under way. Dropped whole when full: it is learnt again with the next row.
const TAGS_MAX = 20_000;

/**
 * Claimed tickets that wait for a slot, and who has how many requests under way. An endpoint that may start nothing more is
 * left out of the next claim, so its backlog takes nobody else's slot.
 */
export class Parking {
  private readonly parked = new Map<string, ClaimedTicket[]>();
  private readonly underWay = new Map<string, number>();
  private readonly underWayOfSubscriber = new Map<string, number>();
  private readonly underWayOfHost = new Map<string, number>();
  private readonly tags = new Map<string, Tag>();
  private count = 0;
  private running = 0;

  constructor(private readonly shares: Shares) {}

  /** Tickets that wait here. */
  get size(): number {
    return this.count;
  }

  /** Tickets of this endpoint. */
  sizeOf(endpointId: string): number {
    return this.parked.get(endpointId)?.length ?? 0;
  }

  get freeSlots(): number {
    return this.shares.slots - this.running;
  }

  /** Requests under way. */
  get underWayCount(): number {
    return this.running;
  }

  add(tickets: ClaimedTicket[]): void {
    for (const ticket of tickets) {
      const waiting = this.parked.get(ticket.endpointId);
      if (waiting) waiting.push(ticket);
      else this.parked.set(ticket.endpointId, [ticket]);
      this.count++;
    }
  }

  /** In front of the others of its endpoint: its time is now. */
  addFirst(ticket: ClaimedTicket): void {
    this.parked.set(ticket.endpointId, [ticket, ...(this.parked.get(ticket.endpointId) ?? [])]);
    this.count++;
  }

  /**
   * Takes up to `max` tickets that may start, of them at most `othersMax` that are not critical and as many retries as there is room for, and
   * counts them as under way, turn by turn.
   */
  takeStartable(max: number, retriesMax: number = max, othersMax: number = max): ClaimedTicket[] {
    const taken: ClaimedTicket[] = [];
    let [retriesLeft, othersLeft] = [retriesMax, othersMax];
    const hasRoom = ({ of }: ClaimedTicket): boolean =>
      of === 'critical' || (othersLeft > 0 && (of === 'normal' || retriesLeft > 0));
    for (let progress = true; progress && taken.length < max;) {
      progress = false;
      for (const [endpointId, waiting] of this.parked) {
        if (taken.length >= max) break;
        if (!this.mayStart(endpointId)) continue;
        // Those with room pass by those without: else others' retries that hang would stop this endpoint whole.
        const at = waiting.findIndex(hasRoom);
        if (at < 0) continue;
        const [ticket] = waiting.splice(at, 1);
        if (ticket.of !== 'critical') othersLeft--;
        if (ticket.of === 'retry') retriesLeft--;
        taken.push(ticket);
        this.count--;
        this.occupy(endpointId, 1);
        if (waiting.length === 0) this.parked.delete(endpointId);
        progress = true;
      }
    }
    return taken;
  }

  /** Undoes `takeStartable` for tickets that could not be started; they keep their turn. */
  putBack(tickets: ClaimedTicket[]): void {
    for (const ticket of [...tickets].reverse()) {
      this.leave(ticket.endpointId);
      this.parked.set(ticket.endpointId, [ticket, ...(this.parked.get(ticket.endpointId) ?? [])]);
      this.count++;
    }
  }

  /** An attempt of this endpoint has ended. */
  leave(endpointId: string): void {
    this.occupy(endpointId, -1);
  }

  /**
   * What an endpoint's row says of whom it shares with. Answers whether its host has more under way than it may, or its window has
   * grown, which may let tickets start that wait here.
   */
  tag(endpointId: string, tag: Tag): 'host_is_full' | 'window_grew' | 'as_before' {
    const known = this.tags.get(endpointId);
    let grew = false;
    if (known?.host === tag.host) {
      grew = tag.window > known.window && this.parked.has(endpointId);
      known.window = tag.window;
    } else {
      const underWay = this.underWay.get(endpointId) ?? 0;
      if (known) this.countOthers(known, -underWay);
      else if (this.tags.size >= TAGS_MAX) this.forgetIdle();
      this.tags.set(endpointId, { ...tag });
      this.countOthers(tag, underWay);
    }
    if ((this.underWayOfHost.get(tag.host) ?? 0) > this.shares.perHostMax) return 'host_is_full';
    return grew ? 'window_grew' : 'as_before';
  }

  /** Endpoints that could not start one more ticket now, or have first attempts here already. */
  saturated(): string[] {
    return this.known().filter((endpointId) => this.isSaturated(endpointId));
  }

  isSaturated(endpointId: string, inTheWay: (ticket: ClaimedTicket) => boolean = isFirst): boolean {
    return (this.parked.get(endpointId)?.some(inTheWay) ?? false) || !this.mayStart(endpointId);
  }

  /** The same for retries: first attempts that wait here are not in their way. */
  saturatedForRetries(): string[] {
    return this.known().filter((endpointId) => this.isSaturatedForRetries(endpointId));
  }

  isSaturatedForRetries(endpointId: string): boolean {
    return this.isSaturated(endpointId, isRetry);
  }

  /** The same for critical ones: others that wait here, for a slot that they may take, are not in their way. */
  saturatedForCritical(): string[] {
    return this.known().filter((endpointId) => this.isSaturated(endpointId, isCritical));
  }

  takeAll(): ClaimedTicket[] {
    const all = [...this.parked.values()].flat();
    this.parked.clear();
    this.count = 0;
    return all;
  }

  /** Drops those parked tickets of `asked` that are not in `ours`, and answers them. */
  dropExcept(asked: ClaimedTicket[], ours: ReadonlySet<string>): ClaimedTicket[] {
    const lost = new Set(asked.filter((ticket) => !ours.has(ticket.deliveryId)));
    if (lost.size === 0) return [];
    const dropped: ClaimedTicket[] = [];
    for (const [endpointId, waiting] of this.parked) {
      const kept = waiting.filter((ticket) => !lost.has(ticket) || !dropped.push(ticket));
      this.count -= waiting.length - kept.length;
      if (kept.length > 0) this.parked.set(endpointId, kept);
      else this.parked.delete(endpointId);
    }
    return dropped;
  }

  private known(): string[] {
    return [...new Set([...this.parked.keys(), ...this.underWay.keys()])];
  }

  private mayStart(endpointId: string): boolean {
    const tag = this.tags.get(endpointId);
    const mine = this.underWay.get(endpointId) ?? 0;
    const free = this.freeSlots;
    if (free <= 0 || (mine > 0 && free <= Math.floor(this.shares.slots * NEWCOMERS_SHARE))) return false;
    const most = Math.max(1, Math.min(this.shares.perEndpointMax, Math.floor(free * ENDPOINT_SHARE)));
    if (mine >= Math.min(most, tag?.window ?? most)) return false;
    if (!tag) return true;
    const subscribers = this.underWayOfSubscriber.get(tag.subscriberId) ?? 0;
    const hosts = this.underWayOfHost.get(tag.host) ?? 0;
    return subscribers < Math.max(1, free * SUBSCRIBER_SHARE) && hosts < this.shares.perHostMax;
  }

  private occupy(endpointId: string, by: number): void {
    this.running += by;
    add(this.underWay, endpointId, by);
    const tag = this.tags.get(endpointId);
    if (tag) this.countOthers(tag, by);
  }

  private countOthers(tag: Tag, by: number): void {
    add(this.underWayOfSubscriber, tag.subscriberId, by);
    add(this.underWayOfHost, tag.host, by);
  }

  private forgetIdle(): void {
    for (const endpointId of this.tags.keys())
      if (!this.underWay.has(endpointId)) this.tags.delete(endpointId);
  }
}

function isFirst(ticket: ClaimedTicket): boolean {
  return !isRetry(ticket);
}

function isRetry(ticket: ClaimedTicket): boolean {
  return ticket.of === 'retry';
}

function isCritical(ticket: ClaimedTicket): boolean {
  return ticket.of === 'critical';
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
