import type { Scope } from '@app/contracts';
import { endpointsRepository, recordRepository, type EndpointRow, type Tx } from '@app/persistence';
import type { EndpointReference, Endpoints } from './endpoints.js';

/** What of the queue is needed here: tickets for the deliveries that a resumed lane lets go. */
export interface TicketInserter {
  insert(
    tx: Tx,
    tickets: { deliveryId: string; endpointId: string }[],
    options: { notify: boolean },
  ): Promise<void>;
}

export type EndpointStatus = 'enabled' | 'disabled' | 'paused';

export function statusOf(endpoint: Pick<EndpointRow, 'disabledAt' | 'pausedAt'>): EndpointStatus {
  if (endpoint.disabledAt) return 'disabled';
  return endpoint.pausedAt ? 'paused' : 'enabled';
}

/**
 * Disabled: nothing is sent, what comes is cancelled. Paused: nothing is sent, what comes is held. Each action may be
 * repeated: the second time changes nothing and answers the same.
 */
export class EndpointStates {
  constructor(
    private readonly endpoints: Endpoints,
    private readonly queue: TicketInserter,
  ) {}

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

  async enable(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    await endpointsRepository.setDisabled(tx, endpoint.subscriberId, endpoint.id, null);
    return this.endpoints.get(tx, scope, reference);
  }

  async pause(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    await endpointsRepository.setPaused(tx, endpoint.subscriberId, endpoint.id, true);
    return this.endpoints.get(tx, scope, reference);
  }

  async resume(tx: Tx, scope: Scope, reference: EndpointReference): Promise<EndpointRow> {
    const endpoint = await this.endpoints.lock(tx, scope, reference);
    if (await endpointsRepository.setPaused(tx, endpoint.subscriberId, endpoint.id, false))
      await this.letGo(tx, endpoint.id);
    return this.endpoints.get(tx, scope, reference);
  }

  /** Gives places to what was held while it was paused, as many as fit; the rest follows as these finish. */
  private async letGo(tx: Tx, endpointId: string): Promise<void> {
    const room = await recordRepository.settleLanes(tx, [{ endpointId, queued: 0, held: 0 }]);
    const promoted = await recordRepository.promoteHeld(
      tx,
      room.filter((lane) => lane.promote > 0),
    );
    const tickets = promoted.map((delivery) => ({
      deliveryId: delivery.id,
      endpointId: delivery.endpointId,
    }));
    await this.queue.insert(tx, tickets, { notify: true });
  }
}
