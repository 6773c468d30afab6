import { recordRepository, type Database, type LaneRoom } from '@app/persistence';
import type { DeliverQueue } from '@app/queue';

/**
 * Gives places and tickets to held deliveries of lanes that have room, the oldest first: after every T2 that made
 * room, and by the loop that finds what a crash in between left. Its own transaction, because T2 holds its lanes only
 * while the server commits. Looks at the lanes again under their locks. Answers how many it promoted.
 */
export function promoteHeld(
  database: Database,
  queue: Pick<DeliverQueue, 'insert'>,
  lanes: Pick<LaneRoom, 'endpointId'>[],
): Promise<number> {
  return database.hotTransaction(async (tx) => {
    const unchanged = lanes.map(({ endpointId }) => ({ endpointId, queued: 0, held: 0 }));
    const room = (await recordRepository.settleLanes(tx, unchanged)).filter((lane) => lane.promote > 0);
    if (room.length === 0) return 0;
    const promoted = await recordRepository.promoteHeld(tx, room);
    const tickets = promoted.map(({ id, endpointId }) => ({ deliveryId: id, endpointId }));
    await queue.insert(tx, tickets, { notify: true });
    return promoted.length;
  });
}
