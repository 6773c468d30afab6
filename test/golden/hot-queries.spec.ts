import { acceptRepository, Database, PumpRepository, recordRepository, type Tx } from '@app/persistence';
import { expect, it } from 'vitest';
import { expectGolden } from '../support/golden.js';

/** The statements of T1, the pump and T2, as they are sent. A change here is a change of the hot path. */
it('the hot queries are the golden file', async () => {
  const sent = new Map<string, string>();
  const recorder = {
    prepared: (name: string, text: string) => {
      sent.set(name, text.replaceAll(/\n {6,}/g, '\n  '));
      return Promise.resolve([]);
    },
  };
  const tx = recorder as unknown as Tx;
  await acceptRepository.resolveSubscribers(tx, [], []);
  await acceptRepository.resolveEventTypes(tx, []);
  await acceptRepository.takeRoom(tx, new Map());
  await acceptRepository.insert(tx, [], [], null);
  const pump = new PumpRepository(recorder as unknown as Database);
  await pump.loadDeliveries([]);
  await pump.loadEndpoints([]);
  await recordRepository.record(tx, []);
  await recordRepository.settleLanes(tx, []);
  await recordRepository.promoteHeld(tx, []);
  expect(sent.size).toBe(9);
  expectGolden('test/golden/hot-queries.sql', [...sent].map(([name, text]) => `-- ${name}\n${text};\n`).join('\n'));
});
