import { Problem, type Scope } from '@app/contracts';
import type { DeliveryDto } from '@app/dto';
import type { Tx } from '@app/persistence';
import { readDelivery } from './read-deliveries.js';
import { resendDeliveries, type ResendQueue } from './resend-deliveries.js';

export interface Resent {
  result: 'queued' | 'brought_forward' | 'held' | 'in_flight';
  detail: string;
  delivery: DeliveryDto;
}

/** Sends one delivery again, whatever became of it. A pending one is brought forward, never doubled. */
export class ResendDelivery {
  constructor(private readonly queue: ResendQueue) {}

  /** @throws Problem not_found outside the scope; conflict when nothing may or can be sent. */
  async resend(tx: Tx, scope: Scope, deliveryId: string): Promise<Resent> {
    const outcomes = await resendDeliveries(tx, this.queue, scope, {
      ids: [deliveryId],
      trigger: 'resend',
      replayId: null,
    });
    const outcome = outcomes.get(deliveryId);
    if (!outcome) throw new Problem('not_found', 'There is no delivery with this id.');
    if (outcome.result === 'refused' || outcome.result === 'skipped')
      throw new Problem('conflict', outcome.detail);
    const delivery = await readDelivery(tx, scope, deliveryId);
    return { result: outcome.result, detail: outcome.detail, delivery };
  }
}
