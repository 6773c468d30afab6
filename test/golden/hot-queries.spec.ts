import {
  acceptRepository,
  laneStateRepository,
  rehearseAccepting,
  rehearseDelivering,
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
  const tx = { prepared, preparedCells: prepared } as unknown as Tx;
  await Promise.all([...rehearseAccepting(tx), ...rehearseDelivering(tx)]);
  await acceptRepository.takeRoom(tx, new Map());
  await laneStateRepository.addTransitions(tx, [NO_TRANSITION]);
  expect(sent.size).toBe(30);
  expectGolden('test/golden/hot-queries.sql', [...sent].map(([name, text]) => `-- ${name}\n${text};\n`).join('\n'));
});
