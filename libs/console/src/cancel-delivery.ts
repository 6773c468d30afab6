import { Problem, type Scope } from '@app/contracts';
import type { DeliveryDto } from '@app/dto';
import { cancelRepository, type DeliveryToCancel, type Tx } from '@app/persistence';
import { readDelivery } from './read-deliveries.js';

/** Ends one delivery by hand: nothing more is sent, and what waits behind it follows. It can still be resent. */
export class CancelDelivery {
  /** @throws Problem not_found outside the scope; conflict for one that is under way or over. */
  async cancel(tx: Tx, scope: Scope, deliveryId: string): Promise<DeliveryDto> {
    const delivery = await cancelRepository.lock(tx, scope, deliveryId);
    if (!delivery) throw new Problem('not_found', 'There is no delivery with this id.');
    await refuseUnlessCancellable(tx, delivery);
    await cancelRepository.cancel(tx, delivery);
    return readDelivery(tx, scope, deliveryId);
  }
}

async function refuseUnlessCancellable(tx: Tx, delivery: DeliveryToCancel): Promise<void> {
  switch (delivery.status) {
    case 'pending':
      if (await cancelRepository.withdraw(tx, delivery.id)) return;
      throw new Problem(
        'conflict',
        'A worker has it in hand right now. Should the attempt fail, it waits for the next one and can be cancelled then.',
      );
    case 'failed':
      // It is over, and the only one that others wait for: cancelling lets them go.
      if (await cancelRepository.blocks(tx, delivery)) return;
      throw new Problem('conflict', 'It has failed already: nothing more is sent, and nothing waits for it.');
    case 'delivered':
      throw new Problem('conflict', 'It was delivered: what was sent cannot be taken back.');
    case 'cancelled':
      throw new Problem('conflict', 'It is cancelled already.');
  }
}
