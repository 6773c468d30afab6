import { REPLAY_DAYS_MAX, type Scope } from '@app/contracts';
import { completeRetryPolicy, DEFAULT_RETRY_POLICY, uuidTimeMs } from '@app/domain';
import { endpointsRepository, type EndpointRow, type Tx } from '@app/persistence';
import type { EndpointReference, Endpoints } from './endpoints.js';

/** What was cancelled while an endpoint was disabled: at most MISSED_COUNTED_MAX, created since then. */
export interface Missed {
  deliveries: number;
  since: Date;
  until: Date;
}

export type EndpointStatus = 'enabled' | 'disabled' | 'paused' | 'unverified';

export function statusOf(
  endpoint: Pick<EndpointRow, 'disabledAt' | 'pausedAt' | 'verification' | 'verifiedAt'>,
): EndpointStatus {
  if (endpoint.disabledAt) return 'disabled';
  if (endpoint.pausedAt) return 'paused';
  return endpoint.verification === 'none' || endpoint.verifiedAt ? 'enabled' : 'unverified';
}

/**
 * Disabled: nothing is sent, what comes is cancelled. Paused: nothing is sent, what comes is held. Each action may be
 * repeated: the second time changes nothing and answers the same.
 */
export class EndpointStates {
  constructor(private readonly endpoints: Endpoints) {}

  async disable(
    tx: Tx,
    scope: Scope,
    reference: EndpointReference,
    reason: string | null,
  ): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    await endpointsRepository.setDisabled(tx, endpoint.subscriberId, endpoint.id, { reason });
    return this.endpoints.get(tx, scope, reference);
  }

  /** It starts slowly. Answers also what was cancelled meanwhile; null when nothing was, or it was not disabled. */
  async enable(
    tx: Tx,
    scope: Scope,
    reference: EndpointReference,
  ): Promise<{ endpoint: EndpointRow; missed: Missed | null }> {
    const before = await this.endpoints.lock(tx, scope, reference);
    if (before.disabledAt === null) return { endpoint: before, missed: null };
    const missed = await missedBy(tx, before, before.disabledAt);
    await endpointsRepository.setDisabled(tx, before.subscriberId, before.id, null);
    await endpointsRepository.restartLane(tx, before.subscriberId, before.id);
    return { endpoint: await this.endpoints.get(tx, scope, reference), missed };
  }

  async pause(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    await endpointsRepository.setPaused(tx, endpoint.subscriberId, endpoint.id, true);
    return this.endpoints.get(tx, scope, reference);
  }

  async resume(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    await endpointsRepository.setPaused(tx, endpoint.subscriberId, endpoint.id, false);
    return this.endpoints.get(tx, scope, reference);
  }
}

// A person decides by it whether to replay; above it the exact number changes nothing.
const MISSED_COUNTED_MAX = 10_000;
const DAY_MS = 86_400_000;

async function missedBy(tx: Tx, endpoint: EndpointRow, disabledAt: Date): Promise<Missed | null> {
  const { n, oldestId, complete, now } = await endpointsRepository.missed(
    tx,
    endpoint.subscriberId,
    endpoint.id,
    disabledAt,
    MISSED_COUNTED_MAX,
  );
  if (n === 0 || oldestId === null) return null;
  // What waited when it was disabled may be as old as its policy lets it become.
  const ageMaxMs =
    1000 *
    (endpoint.retryPolicy ? completeRetryPolicy(endpoint.retryPolicy) : DEFAULT_RETRY_POLICY).ageMaxSeconds;
  const sinceMs = complete ? uuidTimeMs(oldestId) : disabledAt.getTime() - ageMaxMs;
  // A replay goes back no further.
  const since = new Date(Math.max(sinceMs, now.getTime() - REPLAY_DAYS_MAX * DAY_MS));
  return { deliveries: n, since, until: now };
}
