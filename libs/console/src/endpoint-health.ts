import type { EndpointHealthDto, HealthFiguresDto } from '@app/dto';
import { effectiveRateFactor, latencyQuantileMs, takeSlots, toPublicId, type RateState } from '@app/domain';
import {
  blockedKeys,
  laneHealth,
  laneTransitions,
  statsRepository,
  type Database,
  type EndpointRow,
  type LaneHealthRow,
  type LaneTransitionRow,
  type StatsSum,
} from '@app/persistence';
import { circuitReason, showTransition } from './lane-transition.js';

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;
const TRANSITIONS_SHOWN = 20;
const BLOCKED_SHOWN = 10;
// Above it the number changes nothing.
const BLOCKED_COUNTED_MAX = 1000;

/** How an endpoint does, and what holds its deliveries back. */
export class ReadHealth {
  constructor(private readonly database: Database) {}

  /** Of an endpoint that was found within the caller's scope. */
  async of(endpoint: EndpointRow): Promise<EndpointHealthDto> {
    const { id, subscriberId } = endpoint;
    const on = this.database;
    const [lane, transitions, blocked, [hour, day]] = await Promise.all([
      laneHealth(on, subscriberId, id),
      laneTransitions(on, subscriberId, id, TRANSITIONS_SHOWN),
      blockedKeys(on, subscriberId, id, BLOCKED_COUNTED_MAX),
      statsRepository.of(on, subscriberId, id, [HOUR_SECONDS, DAY_SECONDS]),
    ]);
    return {
      status: statusOf(endpoint, lane),
      paused: endpoint.pausedAt !== null,
      circuit: circuitOf(lane, transitions),
      window: lane.window,
      windowMax: lane.windowMax,
      queued: lane.queued,
      held: lane.held,
      waiting: lane.waiting,
      oldestDueAt: lane.oldestDueAt,
      rate: rateOf(endpoint, lane),
      lastHour: figuresOf(hour),
      lastDay: figuresOf(day),
      failing: failingOf(endpoint, lane),
      transitions: transitions.map(showTransition),
      ordering:
        endpoint.ordered || blocked.length > 0
          ? {
              blockedKeys: blocked.length,
              blocked: blocked
                .slice(0, BLOCKED_SHOWN)
                .map(({ key, deliveryId }) => ({ key, delivery: toPublicId('dlv', deliveryId) })),
            }
          : null,
    };
  }
}

function statusOf(
  { disabledAt, pausedAt }: EndpointRow,
  { circuit }: LaneHealthRow,
): EndpointHealthDto['status'] {
  if (disabledAt) return 'disabled';
  if (pausedAt) return 'paused';
  return circuit === 'unverified' ? 'unverified' : 'enabled';
}

function circuitOf(lane: LaneHealthRow, transitions: LaneTransitionRow[]): EndpointHealthDto['circuit'] {
  const { circuit, openedAt, closedAt, openUntil, trips } = lane;
  if (circuit === 'unverified')
    return { state: circuit, since: null, openUntil: null, reason: null, trips, nextProbeAt: null };
  if (circuit === 'closed')
    return { state: circuit, since: closedAt, openUntil: null, reason: null, trips, nextProbeAt: null };
  const opened = transitions.find(({ kind }) => kind === 'circuit_opened');
  const reason = opened ? circuitReason(opened.detail.reason) : null;
  return { state: circuit, since: openedAt, openUntil, reason, trips, nextProbeAt: openUntil };
}

// Only looked at: what the limit would give next, however far away.
const LOOK_AHEAD_MS = 0;

function rateOf({ rateLimit }: EndpointRow, lane: LaneHealthRow): EndpointHealthDto['rate'] {
  if (rateLimit === null) return null;
  const factor = effectiveRateFactor(lane, lane.now);
  const state = lane.rateState && 'kind' in lane.rateState ? (lane.rateState as RateState) : null;
  const { nextInMs } = takeSlots(rateLimit, state, lane.now.getTime(), 0, LOOK_AHEAD_MS, factor);
  return {
    limit: rateLimit,
    factor: Math.round(factor * 1000) / 1000,
    nextSlotAt: new Date(lane.now.getTime() + Math.ceil(nextInMs)),
  };
}

function figuresOf({ delivered, failed, latency }: StatsSum): HealthFiguresDto {
  const attempts = delivered + failed;
  return {
    attempts,
    delivered,
    failed,
    successRatio: attempts === 0 ? null : Math.round((delivered / attempts) * 10_000) / 10_000,
    p50Ms: latencyQuantileMs(latency, 0.5),
    p95Ms: latencyQuantileMs(latency, 0.95),
  };
}

function failingOf(endpoint: EndpointRow, lane: LaneHealthRow): EndpointHealthDto['failing'] {
  const { failingSince, failingAttempts, warnedPercent } = lane;
  if (failingSince === null) return null;
  const { disableAfterSeconds } = endpoint;
  return {
    since: failingSince,
    attempts: failingAttempts,
    warnedPercent,
    disablesAt:
      disableAfterSeconds === null || endpoint.disabledAt
        ? null
        : new Date(failingSince.getTime() + disableAfterSeconds * 1000),
  };
}
