import { acceptRepository } from './accept.repository.js';
import type { Tx } from './database.js';
import { idempotencyRepository } from './idempotency.repository.js';
import { laneStateRepository } from './lane-state.repository.js';
import { orderingRepository } from './ordering.repository.js';
import { PumpRepository } from './pump.repository.js';
import { recordRepository } from './record.repository.js';
import { requestLimitsRepository } from './request-limits.repository.js';

/**
 * The statements of the road, each asked about nothing: it finds and changes no row, but is planned. What Database.warm has
 * connections plan, and what the golden files of hot queries and plans show.
 */
export type Rehearsal = (tx: Tx) => Promise<unknown>[];

/** T1, and how often its caller may ask. */
export const rehearseAccepting: Rehearsal = (tx) => [
  acceptRepository.resolveSubscribers(tx, [], []),
  acceptRepository.resolveEventTypes(tx, []),
  acceptRepository.insert(tx, [], [], null, 'one'),
  acceptRepository.insert(tx, [], [], null, 'many'),
  orderingRepository.enter(tx, []),
  idempotencyRepository.claim(tx, []),
  idempotencyRepository.store(tx, []),
  requestLimitsRepository.take(tx, [], [], 1),
];

/** The pump, T2 and what follows from it. */
export const rehearseDelivering: Rehearsal = (tx) => {
  const pump = new PumpRepository(tx);
  return [
    pump.loadDeliveries([]),
    pump.loadEndpoints([]),
    recordRepository.lock(tx, []),
    recordRepository.record(tx, [], 'one'),
    recordRepository.record(tx, [], 'many'),
    orderingRepository.settle(tx, []),
    recordRepository.settleLanes(tx, [], 'one'),
    recordRepository.settleLanes(tx, [], 'many'),
    orderingRepository.pickReady(tx, [], 1),
    orderingRepository.heads(tx, []),
    orderingRepository.occupy(tx, []),
    orderingRepository.leave(tx, []),
    recordRepository.pickHeld(tx, []),
    recordRepository.lockHeld(tx, []),
    recordRepository.givePlaces(tx, []),
    recordRepository.roomToPromote(tx, [], false),
    laneStateRepository.lock(tx, []),
    laneStateRepository.write(tx, []),
  ];
};
