import {
  acceptRepository,
  Database,
  laneStateRepository,
  orderingRepository,
  PumpRepository,
  recordRepository,
  type NewLaneTransition,
  type Tx,
} from '@app/persistence';
import { expect, it } from 'vitest';
import { expectGolden } from '../support/golden.js';

const NO_TRANSITION: NewLaneTransition = {
  id: '',
  subscriberId: '',
  endpointId: '',
  at: new Date(0),
  transition: { kind: 'circuit_closed' },
};

/** The statements of T1, the pump and T2, as they are sent. A change here is a change of the hot path. */
it('the hot queries are the golden file', async () => {
  const sent = new Map<string, string>();
  const prepared = (name: string, text: string) => {
    sent.set(name, text.replaceAll(/\n {6,}/g, '\n  '));
    return Promise.resolve([]);
  };
  const recorder = { prepared, preparedCells: prepared };
  const tx = recorder as unknown as Tx;
  await acceptRepository.resolveSubscribers(tx, [], []);
  await acceptRepository.resolveEventTypes(tx, []);
  await acceptRepository.takeRoom(tx, new Map());
  await acceptRepository.insert(tx, [], [], null);
  await orderingRepository.enter(tx, []);
  const pump = new PumpRepository(recorder as unknown as Database);
  await pump.loadDeliveries([]);
  await pump.loadEndpoints([]);
  await recordRepository.lock(tx, []);
  await recordRepository.record(tx, []);
  await orderingRepository.settle(tx, []);
  await recordRepository.settleLanes(tx, []);
  await orderingRepository.pickReady(tx, [], 1);
  await orderingRepository.heads(tx, []);
  await orderingRepository.occupy(tx, []);
  await orderingRepository.leave(tx, []);
  await recordRepository.pickHeld(tx, []);
  await recordRepository.lockHeld(tx, []);
  await recordRepository.givePlaces(tx, []);
  await recordRepository.roomToPromote(tx, []);
  await laneStateRepository.lock(tx, []);
  await laneStateRepository.write(tx, []);
  await laneStateRepository.addTransitions(tx, [NO_TRANSITION]);
  expect(sent.size).toBe(23);
  expectGolden('test/golden/hot-queries.sql', [...sent].map(([name, text]) => `-- ${name}\n${text};\n`).join('\n'));
});
