import {
  dueForProbe,
  halfOpen,
  newId,
  probeLost,
  ticketPriority,
  type LaneState,
  type Random,
} from '@app/domain';
import {
  laneStateRepository,
  orderingRepository,
  recordRepository,
  type Database,
  type HeldDelivery,
  type NewLaneTransition,
  type OrderingKey,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue } from '@app/queue';
import { unchanged } from './promote-held.js';

const AGAIN_AFTER_MS = 5000;
// Some may have nothing left, or a head that somebody else has locked.
const KEYS_MAX = 20;

/**
 * Lets one held delivery through a circuit whose time has come; whatever comes of it decides. Under the lane's lock, so of
 * all workers one sends it. A probe that got lost (cancelled, held by a pause) is followed by another. Answers the transition.
 */
export function sendProbe(
  database: Database,
  queue: Pick<DeliverQueue, 'insert'>,
  random: Random,
  endpointId: string,
): Promise<NewLaneTransition | null> {
  return database.hotTransaction(async (tx) => {
    // Keys before lanes, as everywhere.
    const keys = await orderingRepository.pickReady(tx, [endpointId], KEYS_MAX);
    const [lane] = await laneStateRepository.lock(tx, [endpointId]);
    if (!lane) return null;
    let { state } = lane;
    if (state.circuit === 'half_open' && !(await laneStateRepository.hasProbe(tx, state.probeId!)))
      state = probeLost(state, lane.now);
    const probe =
      dueForProbe(state, lane.now) && !lane.paused ? await pickProbe(tx, endpointId, keys, state) : null;
    if (!probe) {
      // Nothing to try with just now: looked at again later, behind others whose time has come.
      if (dueForProbe(state, lane.now) && !lane.paused)
        state = { ...state, openUntil: new Date(lane.now.getTime() + AGAIN_AFTER_MS) };
      if (state !== lane.state) await laneStateRepository.write(tx, [{ ...lane, state }]);
      return null;
    }
    await recordRepository.givePlaces(tx, [probe.id]);
    await recordRepository.settleLanes(tx, [{ ...unchanged(endpointId), queued: 1, held: -1 }]);
    const step = halfOpen(state, probe.id);
    await laneStateRepository.write(tx, [{ ...lane, state: step.state }]);
    const transition: NewLaneTransition = {
      id: newId(lane.now.getTime(), random),
      subscriberId: lane.subscriberId,
      endpointId,
      at: lane.now,
      transition: step.transitions[0],
    };
    await laneStateRepository.addTransitions(tx, [transition]);
    const ticket = { deliveryId: probe.id, endpointId, priority: ticketPriority(probe) };
    await queue.insert(tx, [ticket], { notify: true });
    return transition;
  });
}

/**
 * By turns the one that has waited longest and the newest: one event that its receiver cannot take must not keep the
 * circuit open for all the others.
 */
async function pickProbe(
  tx: Tx,
  endpointId: string,
  keys: OrderingKey[],
  { trips }: LaneState,
): Promise<Omit<HeldDelivery, 'dueAt'> | null> {
  const { critical, oldest, newest } = await recordRepository.pickHeld(
    tx,
    [{ endpointId, promote: 2 }],
    true,
  );
  const first = critical[0] ?? oldest[0];
  const unordered = trips % 2 === 0 ? (newest[0] ?? first) : first;
  if (unordered) return unordered;
  const picked = keys.length > 0 ? await orderingRepository.heads(tx, keys) : [];
  const empty = picked.filter(({ head }) => head === null);
  if (empty.length > 0) await orderingRepository.leave(tx, empty);
  for (const { head, ...key } of picked) {
    if (head?.place !== 'held') continue;
    const locked = await recordRepository.lockHeld(tx, [head.id]);
    if (!locked.has(head.id)) continue;
    await orderingRepository.occupy(tx, [{ ...key, deliveryId: head.id }]);
    return {
      id: head.id,
      endpointId,
      trigger: head.trigger as HeldDelivery['trigger'],
      critical: head.critical,
    };
  }
  return null;
}
