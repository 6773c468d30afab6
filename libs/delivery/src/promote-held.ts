import { ticketPriority } from '@app/domain';
import {
  BACKLOG_AGE_SECONDS,
  orderingRepository,
  recordRepository,
  type Database,
  type HeldDelivery,
  type LaneChange,
  type OrderingKey,
  type PickedKey,
  type RoomToPromote,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue, NewTicket, TicketInHand } from '@app/queue';
import type { Takes } from './successors.js';

// Then what has just happened is served beside it.
const BACKLOG_AGE_MS = BACKLOG_AGE_SECONDS * 1000;
// More than a window has room for need not be locked.
const KEYS_MAX = 500;

export interface Promoted {
  count: number;
  /** Of these, what the caller has in hand. */
  inHand: TicketInHand[];
}

const NOTHING: Takes = new Map();

/**
 * Gives places and tickets to held deliveries of lanes that have room: after every T2 that made room, and by the loop
 * that finds what a crash in between left. What the caller takes himself does not pass through the queue: he has its tickets
 * in hand, as if claimed.
 *
 * Its own transaction, and the lanes are locked by its last statement only: T2 waits for them. What keeps two promoters of
 * one lane apart is an advisory lock; the second leaves it to the first, and to the next T2. Not so ordering keys: the first may
 * have looked before the T2 that this one follows, and no other T2 comes while nothing of the key is in the queue. Their rows'
 * locks keep two promoters of one key apart.
 *
 * The oldest go first; when the oldest are older than a minute, half of the places go to the newest of the last minute
 * instead, of an odd number by chance one more or one less (docs/adr/0008). Deliveries of an ordering key go by its turn.
 */
export function promoteHeld(
  database: Pick<Database, 'hotTransaction'>,
  queue: Pick<DeliverQueue, 'insert' | 'notify'>,
  endpointIds: string[],
  takes: Takes = NOTHING,
): Promise<Promoted> {
  return database.hotTransaction(async (tx) => {
    const readRoom = async (ids: string[]): Promise<Promotable[]> =>
      (await recordRepository.roomToPromote(tx, ids, takes.size > 0)).flatMap((lane) =>
        promotable(lane, takes),
      );
    const lanes = await readRoom(endpointIds);
    if (lanes.length === 0) return { count: 0, inHand: [] };
    const room = new Map(lanes.map(({ endpointId, promote }) => [endpointId, promote]));
    const mine = new Set(lanes.filter((lane) => lane.mine).map(({ endpointId }) => endpointId));
    const ready = await orderingRepository.pickReady(tx, [...room.keys()], KEYS_MAX);
    const { next, turns, empty } = await nextOfKeys(tx, ready, room, readRoom);
    const open = [...room]
      .filter(([endpointId, promote]) => promote > 0 && mine.has(endpointId))
      .map(([endpointId, promote]) => ({ endpointId, promote }));
    const picked =
      open.length > 0 ? await recordRepository.pickHeld(tx, open) : { critical: [], oldest: [], newest: [] };
    const chosen = [...next, ...fairly(picked, room)];
    const tickets = ticketsFor(chosen, takes);
    const inHand = tickets.flatMap(({ claimed, ...ticket }) =>
      claimed ? [{ ...ticket, retryCount: 0 }] : [],
    );

    const works: (() => Promise<unknown>)[] = [];
    if (chosen.length > 0) {
      const ids = chosen.map(({ id }) => id);
      works.push(() => recordRepository.givePlaces(tx, ids));
      works.push(() => queue.insert(tx, tickets, { notify: false }));
    }
    if (inHand.length < tickets.length) works.push(() => queue.notify(tx, 'tickets'));
    if (turns.length > 0) works.push(() => orderingRepository.occupy(tx, turns));
    if (empty.length > 0) works.push(() => orderingRepository.leave(tx, empty));
    if (chosen.length > 0) works.push(() => recordRepository.settleLanes(tx, promotedOf(chosen)));
    await tx.commitWith(works);
    return { count: chosen.length, inHand };
  });
}

interface Promotable {
  endpointId: string;
  promote: number;
  mine: boolean;
}

/**
 * How many of a lane to promote: what the caller takes; of one that he takes nothing of, all that fill its window when half of it is empty.
 * One by one only so: a transaction each is more than a ticket costs.
 */
function promotable({ endpointId, room, refill, mine }: RoomToPromote, takes: Takes): Promotable[] {
  const wanted = Math.min(room, takes.get(endpointId) ?? (refill ? room : 0));
  const promote = wanted > 1 || refill ? wanted : 0;
  // Of one without anything held, ordering keys may be left over.
  return promote > 0 || room === 0 ? [{ endpointId, promote, mine }] : [];
}

/**
 * Of each endpoint the first ones are in hand, as many as `takes` says: normal first attempts, since critical ones and retries have shares of a
 * worker that only a claim keeps to.
 */
function ticketsFor(chosen: Chosen[], takes: Takes): NewTicket[] {
  const left = new Map(takes);
  return chosen.map((delivery) => {
    const { id: deliveryId, endpointId } = delivery;
    const priority = ticketPriority(delivery);
    const n = priority === 1 ? (left.get(endpointId) ?? 0) : 0;
    if (n === 0) return { deliveryId, endpointId, priority };
    left.set(endpointId, n - 1);
    return { deliveryId, endpointId, priority, claimed: true };
  });
}

/** What a promotion changes in its lanes. */
function promotedOf(chosen: Chosen[]): LaneChange[] {
  const changes = new Map<string, LaneChange>();
  for (const { endpointId } of chosen) {
    let change = changes.get(endpointId);
    if (!change) changes.set(endpointId, (change = unchanged(endpointId)));
    change.queued++;
    change.held--;
  }
  return [...changes.values()];
}

type Chosen = Omit<HeldDelivery, 'dueAt'>;

/** The next delivery of each key whose turn it is, as far as its lane has room, and keys that are empty. Takes from `room`. */
async function nextOfKeys(
  tx: Tx,
  ready: OrderingKey[],
  room: Map<string, number>,
  readRoom: (endpointIds: string[]) => Promise<Promotable[]>,
): Promise<{ next: Chosen[]; turns: (OrderingKey & { deliveryId: string })[]; empty: OrderingKey[] }> {
  if (ready.length === 0) return { next: [], turns: [], empty: [] };
  const heads = await orderingRepository.heads(tx, ready);
  // Lanes were read before keys were locked. Whoever accepted in between into a lane that held nothing finds the key locked, and leaves it to us.
  const holdingNow = heads.filter(
    ({ head, endpointId }) => head?.place === 'held' && room.get(endpointId) === 0,
  );
  if (holdingNow.length > 0) {
    const lanes = await readRoom([...new Set(holdingNow.map((key) => key.endpointId))]);
    for (const { endpointId, promote } of lanes) room.set(endpointId, promote);
  }
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
  const taken = wanted.filter(({ head }) => head.place !== 'held' || locked.has(head.id));
  return {
    turns: taken.map(({ head, ...key }) => ({ ...key, deliveryId: head.id })),
    empty: heads.filter(({ head }) => head === null),
    next: taken
      .filter(({ head }) => head.place === 'held')
      .map(({ endpointId, head }) => ({
        id: head.id,
        endpointId,
        trigger: head.trigger as Chosen['trigger'],
        critical: head.critical,
      })),
  };
}

/** As many of each lane as it has room for: critical ones first. */
function fairly(
  { critical, oldest, newest }: Awaited<ReturnType<typeof recordRepository.pickHeld>>,
  room: ReadonlyMap<string, number>,
): HeldDelivery[] {
  const urgentOf = Map.groupBy(critical, (delivery) => delivery.endpointId);
  const oldOf = Map.groupBy(oldest, (delivery) => delivery.endpointId);
  const newOf = Map.groupBy(newest, (delivery) => delivery.endpointId);
  return [...new Set([...urgentOf.keys(), ...oldOf.keys()])].flatMap((endpointId) => {
    const places = room.get(endpointId) ?? 0;
    const urgent = urgentOf.get(endpointId) ?? [];
    const old = oldOf.get(endpointId) ?? [];
    const newest = newOf.get(endpointId) ?? [];
    const fresh = freshBeside(old, newest).slice(0, halfOf(places - urgent.length, old, newest));
    if (urgent.length === 0 && fresh.length === 0) return old.slice(0, places);
    const chosen = new Map([...urgent, ...fresh, ...old].map((delivery) => [delivery.id, delivery]));
    return [...chosen.values()].slice(0, places);
  });
}

/**
 * Of an odd number, one of a window of one say, chance decides who gets the one more: that of the two ids, of which one is another the next time. (By turns
 * that are told by whether an odd number is held, one that publishes as fast as he takes would always be at the same turn.)
 */
function halfOf(places: number, [oldest]: HeldDelivery[], [newest]: HeldDelivery[]): number {
  const coin = (parseInt(oldest?.id.at(-1) ?? '0', 16) ^ parseInt(newest?.id.at(-1) ?? '0', 16)) & 1;
  return Math.max(0, Math.floor((places + coin) / 2));
}

function freshBeside(old: HeldDelivery[], newest: HeldDelivery[]): HeldDelivery[] {
  const [latest] = newest;
  if (!latest || old.length === 0) return [];
  const since = latest.dueAt.getTime() - BACKLOG_AGE_MS;
  return old[0].dueAt.getTime() >= since ? [] : newest.filter(({ dueAt }) => dueAt.getTime() >= since);
}

export function unchanged(endpointId: string): LaneChange {
  return { endpointId, queued: 0, held: 0, waiting: 0, successes: 0, troubled: false };
}
