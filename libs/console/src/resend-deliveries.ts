import type { Scope } from '@app/contracts';
import { ticketPriority } from '@app/domain';
import {
  acceptRepository,
  laneStateRepository,
  orderingRepository,
  recordRepository,
  resendRepository,
  type LockedDelivery,
  type Tx,
} from '@app/persistence';
import type { DeliverQueue } from '@app/queue';
import { decideResend, type ResendDecision } from './resend-decision.js';

export type ResendQueue = Pick<DeliverQueue, 'insert' | 'withdraw' | 'notify'>;

/** What became of one delivery: `queued` and `brought_forward` are due now, `skipped` was not this caller's to move. */
export type ResendOutcome =
  | { result: 'queued' | 'brought_forward' | 'held' | 'in_flight'; detail: string }
  | { result: 'refused' | 'skipped'; detail: string };

export interface ResendRequest {
  ids: string[];
  trigger: 'resend' | 'replay';
  replayId: string | null;
  /** Rows that say otherwise once they are locked are skipped. */
  only?: (delivery: LockedDelivery) => boolean;
}

/**
 * Sends deliveries again: the one way back into the queue, for one by hand and for a replay's batch. Statements do not
 * grow with the number of deliveries. One that is not in the scope is missing from the answer.
 *
 * Locks as T2 does, so the two never wait in a circle: deliveries by id, their tickets, lanes by endpoint.
 */
export async function resendDeliveries(
  tx: Tx,
  queue: ResendQueue,
  scope: Scope,
  request: ResendRequest,
): Promise<Map<string, ResendOutcome>> {
  const outcomes = new Map<string, ResendOutcome>();
  // A look of a replay that found none: it is most of them where few match, and planning these statements was two thirds of its time.
  if (request.ids.length === 0) return outcomes;
  const locked: LockedDelivery[] = [];
  for (const delivery of await resendRepository.lock(tx, scope, request.ids))
    if (request.only?.(delivery) ?? true) locked.push(delivery);
    else outcomes.set(delivery.id, { result: 'skipped', detail: 'It has moved on by itself.' });

  const tickets = await resendRepository.ticketsOf(
    tx,
    locked.map(({ id }) => id),
  );
  const again: LockedDelivery[] = [];
  const forward: { delivery: LockedDelivery; place: 'queued' | 'waiting' }[] = [];
  const lift: LockedDelivery[] = [];
  for (const delivery of locked) {
    const decision = decideResend(delivery, tickets.get(delivery.id) ?? 'none');
    if (decision.kind === 'start_again') again.push(delivery);
    else if (decision.kind === 'bring_forward') forward.push({ delivery, place: decision.place });
    else if (decision.kind === 'give_place') lift.push(delivery);
    else outcomes.set(delivery.id, outcomeOf(decision));
  }

  // Whatever ticket is left goes before a new one comes. A worker may have claimed it since we looked.
  const withTicket = [...again, ...forward.map(({ delivery }) => delivery)].filter(({ id }) =>
    tickets.has(id),
  );
  const withdrawn = await withdraw(tx, queue, withTicket);
  const due: Move[] = [];
  for (const { delivery, place } of forward)
    if (tickets.has(delivery.id) && !withdrawn.has(delivery.id)) outcomes.set(delivery.id, IN_FLIGHT);
    else
      due.push({
        delivery,
        place,
        outcome: delivery.closed ? FORWARD_BUT_CLOSED[delivery.closed] : BROUGHT_FORWARD,
      });
  for (const delivery of lift) due.push({ delivery, place: 'queued', outcome: GIVEN_A_PLACE });
  const ordered = again.filter(({ orderingKey }) => orderingKey !== null);
  // Keys before lanes, and all lanes at once, as everywhere.
  await takeTurns(tx, ordered);
  await laneStateRepository.lockAll(
    tx,
    [...lift, ...again].map(({ endpointId }) => endpointId),
  );
  await raiseLanes(tx, lift);
  due.push(
    ...(await takePlaces(
      tx,
      again.filter(({ orderingKey }) => orderingKey === null),
    )),
  );
  for (const delivery of ordered) due.push({ delivery, place: 'held', outcome: IN_ORDER });
  await holdInLanes(tx, queue, ordered);

  const rows = due.map(({ delivery, place }) => ({
    id: delivery.id,
    subscriberId: delivery.subscriberId,
    place,
  }));
  await resendRepository.move(tx, rows, request.trigger, request.replayId);
  const ready = due.filter(({ place }) => place !== 'held');
  await queue.insert(
    tx,
    ready.map(({ delivery }) => ({
      deliveryId: delivery.id,
      endpointId: delivery.endpointId,
      priority: ticketPriority({ critical: delivery.critical, trigger: request.trigger }),
    })),
    { notify: true },
  );
  for (const { delivery, outcome } of due) outcomes.set(delivery.id, outcome);
  // Somebody asks for it who has reason to think that it works again; a replay of many is no such person.
  const shut = locked.filter((delivery) => delivery.closed === 'circuit').map(({ endpointId }) => endpointId);
  if (request.trigger === 'resend' && shut.length > 0) await laneStateRepository.probeSoon(tx, shut);
  return outcomes;
}

interface Move {
  delivery: LockedDelivery;
  place: 'queued' | 'waiting' | 'held';
  outcome: ResendOutcome;
}

const QUEUED: ResendOutcome = { result: 'queued', detail: 'It is due now.' };
const BROUGHT_FORWARD: ResendOutcome = {
  result: 'brought_forward',
  detail: 'It was to be sent later and is due now instead. Its retry schedule goes on from where it was.',
};
const FORWARD_BUT_CLOSED: Record<'paused' | 'unverified' | 'circuit', ResendOutcome> = {
  paused: {
    result: 'held',
    detail:
      'It was to be sent later and is due now instead, but its endpoint is paused: it is sent when that is resumed.',
  },
  unverified: {
    result: 'held',
    detail:
      'It was to be sent later and is due now instead, but its endpoint is not verified: it is sent when that is.',
  },
  circuit: {
    result: 'held',
    detail:
      'It was to be sent later and is due now instead, but the circuit of its endpoint is open: a probe goes first.',
  },
};
const GIVEN_A_PLACE: ResendOutcome = {
  result: 'brought_forward',
  detail: 'It was held behind others of its endpoint and is due now.',
};
const IN_FLIGHT: ResendOutcome = {
  result: 'in_flight',
  detail: 'An attempt is being made right now; nothing was added to it.',
};
const IN_ORDER: ResendOutcome = {
  result: 'queued',
  detail: 'It is pending again and goes when its turn among the deliveries of its ordering key has come.',
};
const HELD: ResendOutcome = {
  result: 'held',
  detail:
    'It is pending again and held, because its endpoint is paused or unverified, has as many queued as it may, or is left alone by its circuit.',
};

function outcomeOf(decision: Extract<ResendDecision, { kind: 'leave' | 'refuse' }>): ResendOutcome {
  if (decision.kind === 'refuse') return { result: 'refused', detail: decision.detail };
  switch (decision.because) {
    case 'in_flight':
      return IN_FLIGHT;
    case 'due':
      return { result: 'queued', detail: 'It was due already and keeps its turn.' };
    case 'unverified':
      return {
        result: 'held',
        detail: 'The endpoint is not verified: it stays held until that is done.',
      };
    case 'circuit':
      return {
        result: 'held',
        detail: 'The circuit of its endpoint is open: a probe goes first, and this follows when it succeeds.',
      };
    case 'order':
      return { result: 'held', detail: 'It waits for those before it with the same ordering key.' };
    case 'paused':
      return {
        result: 'held',
        detail: 'The endpoint is paused: it stays held. Resume the endpoint to send it.',
      };
  }
}

async function withdraw(tx: Tx, queue: ResendQueue, deliveries: LockedDelivery[]): Promise<Set<string>> {
  if (deliveries.length === 0) return new Set();
  return queue.withdraw(
    tx,
    deliveries.map(({ id }) => id),
  );
}

/** Those of an ordering key wait for their turn, also the one that blocked it. */
async function takeTurns(tx: Tx, deliveries: LockedDelivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  const keys = new Map(
    deliveries.map(({ endpointId, subscriberId, orderingKey: key }) => [
      `${endpointId} ${key}`,
      { endpointId, subscriberId, key: key! },
    ]),
  );
  await orderingRepository.enter(tx, [...keys.values()]);
  await orderingRepository.settle(
    tx,
    deliveries.map(({ id, endpointId, orderingKey }) => ({
      endpointId,
      key: orderingKey!,
      deliveryId: id,
      state: 'ready',
    })),
  );
}

/** Those that wait for their turn are held; a worker gives the places. */
async function holdInLanes(tx: Tx, queue: ResendQueue, deliveries: LockedDelivery[]): Promise<void> {
  if (deliveries.length === 0) return;
  const lanes = countByEndpoint(deliveries);
  await recordRepository.settleLanes(
    tx,
    lanes.map(([endpointId, n]) => ({
      endpointId,
      queued: 0,
      held: n,
      waiting: 0,
      successes: 0,
      troubled: false,
    })),
  );
  await queue.notify(tx, { endpointIds: lanes.map(([endpointId]) => endpointId) });
}

/** Held ones that get a place above the window: out of the one count, into the other. */
async function raiseLanes(tx: Tx, lifted: LockedDelivery[]): Promise<void> {
  if (lifted.length === 0) return;
  const changes = countByEndpoint(lifted).map(([endpointId, n]) => ({
    endpointId,
    queued: n,
    held: -n,
    waiting: 0,
    successes: 0,
    troubled: false,
  }));
  await recordRepository.settleLanes(tx, changes);
}

/** Places in the lanes as far as there are any, the oldest first; the rest is held. As in T1. */
async function takePlaces(tx: Tx, deliveries: LockedDelivery[]): Promise<Move[]> {
  if (deliveries.length === 0) return [];
  const room = await acceptRepository.takeRoom(tx, new Map(countByEndpoint(deliveries)));
  return deliveries.map((delivery): Move => {
    const left = room.get(delivery.endpointId);
    if (left === undefined) throw new Error(`Bug: endpoint ${delivery.endpointId} has no lane`);
    if (left === 0) return { delivery, place: 'held', outcome: HELD };
    room.set(delivery.endpointId, left - 1);
    return { delivery, place: 'queued', outcome: QUEUED };
  });
}

function countByEndpoint(deliveries: LockedDelivery[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { endpointId } of deliveries) counts.set(endpointId, (counts.get(endpointId) ?? 0) + 1);
  return [...counts];
}
