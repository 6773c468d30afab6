import { ticketPriority } from '@app/domain';
import {
  orderingRepository,
  recordRepository,
  type Database,
  type HeldDelivery,
  type LaneChange,
  type PickedKey,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue } from '@app/queue';

// Older than this, the oldest of a backlog has waited through an outage, and what has just happened is served beside it.
const BACKLOG_AGE_MS = 60_000;
// More than a window has room for need not be locked.
const KEYS_MAX = 500;

/**
 * Gives places and tickets to held deliveries of lanes that have room: after every T2 that made room, and by the loop
 * that finds what a crash in between left. Its own transaction, because T2 holds its lanes only while the server commits.
 * Looks at the lanes again under their locks. Answers how many it promoted.
 *
 * The oldest go first; when the oldest are older than a minute, half of the places go to the newest of the last minute
 * instead (docs/adr/0008). Deliveries of an ordering key go by its turn.
 */
export function promoteHeld(
  database: Database,
  queue: Pick<DeliverQueue, 'insert'>,
  endpointIds: string[],
): Promise<number> {
  return database.hotTransaction((tx) => promoteIn(tx, queue, endpointIds));
}

/** The same in the caller's transaction. */
export async function promoteIn(
  tx: Tx,
  queue: Pick<DeliverQueue, 'insert'>,
  endpointIds: string[],
): Promise<number> {
  // Keys before lanes, as everywhere.
  const ready = await orderingRepository.pickReady(tx, endpointIds, KEYS_MAX);
  const lanes = await recordRepository.settleLanes(tx, endpointIds.map(unchanged));
  const room = new Map(
    lanes.filter((lane) => lane.promote > 0).map((lane) => [lane.endpointId, lane.promote]),
  );

  const next = await nextOfKeys(tx, ready, room);
  const open = [...room]
    .filter(([, promote]) => promote > 0)
    .map(([endpointId, promote]) => ({ endpointId, promote }));
  const picked = open.length > 0 ? await recordRepository.pickHeld(tx, open) : { oldest: [], newest: [] };
  const chosen = [...next, ...fairly(picked, room)];
  if (chosen.length === 0) return 0;
  await recordRepository.promote(
    tx,
    chosen.map(({ id }) => id),
  );
  const tickets = chosen.map((delivery) => ({
    deliveryId: delivery.id,
    endpointId: delivery.endpointId,
    priority: ticketPriority(delivery),
  }));
  await queue.insert(tx, tickets, { notify: true });
  return chosen.length;
}

type Chosen = Omit<HeldDelivery, 'dueAt'>;

/** The next delivery of each key whose turn it is, as far as its lane has room; keys that are empty go. Takes from `room`. */
async function nextOfKeys(
  tx: Tx,
  ready: Awaited<ReturnType<typeof orderingRepository.pickReady>>,
  room: Map<string, number>,
): Promise<Chosen[]> {
  if (ready.length === 0) return [];
  const heads = await orderingRepository.heads(tx, ready);
  const wanted: (PickedKey & { head: NonNullable<PickedKey['head']> })[] = [];
  for (const key of heads) {
    const { head } = key;
    // One that is not held has a ticket already, by a resend: its turn it is, without another place.
    if (!head) continue;
    const left = room.get(key.endpointId) ?? 0;
    if (head.place === 'held' && left <= 0) continue;
    if (head.place === 'held') room.set(key.endpointId, left - 1);
    wanted.push({ ...key, head });
  }
  const held = wanted.filter(({ head }) => head.place === 'held');
  const locked =
    held.length > 0
      ? await recordRepository.lockHeld(
          tx,
          held.map(({ head }) => head.id),
        )
      : new Set();
  const turns = wanted.filter(({ head }) => head.place !== 'held' || locked.has(head.id));
  if (turns.length > 0)
    await orderingRepository.occupy(
      tx,
      turns.map(({ head, ...key }) => ({ ...key, deliveryId: head.id })),
    );
  const empty = heads.filter(({ head }) => head === null);
  if (empty.length > 0) await orderingRepository.leave(tx, empty);
  return turns
    .filter(({ head }) => head.place === 'held')
    .map(({ endpointId, head }) => ({
      id: head.id,
      endpointId,
      trigger: head.trigger as Chosen['trigger'],
      critical: head.critical,
    }));
}

/** As many of each lane as it has room for. */
function fairly(
  { oldest, newest }: { oldest: HeldDelivery[]; newest: HeldDelivery[] },
  room: Map<string, number>,
): HeldDelivery[] {
  const byLane = Map.groupBy(oldest, (delivery) => delivery.endpointId);
  const newestByLane = Map.groupBy(newest, (delivery) => delivery.endpointId);
  return [...byLane].flatMap(([endpointId, old]) => {
    const places = room.get(endpointId) ?? 0;
    const fresh = freshBeside(old, newestByLane.get(endpointId) ?? []);
    const chosen = new Map([...fresh.slice(0, places), ...old].map((delivery) => [delivery.id, delivery]));
    return [...chosen.values()].slice(0, places);
  });
}

function freshBeside(old: HeldDelivery[], newest: HeldDelivery[]): HeldDelivery[] {
  const [latest] = newest;
  if (!latest) return [];
  const since = latest.dueAt.getTime() - BACKLOG_AGE_MS;
  return old[0].dueAt.getTime() >= since ? [] : newest.filter(({ dueAt }) => dueAt.getTime() >= since);
}

export function unchanged(endpointId: string): LaneChange {
  return { endpointId, queued: 0, held: 0, waiting: 0, successes: 0, troubled: false };
}
