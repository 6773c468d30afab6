import { seededRandom } from '@app/domain';
import { expect, it, vi } from 'vitest';
import { stillTime } from '../../../test/support/still-time.js';
import { createLogger } from './logger.js';
import { Maintenance, type MaintenanceLoop } from './maintenance.js';
import { Metrics } from './metrics.js';

const logger = createLogger({ level: 'silent', process: 'test' });

function started(loops: Pick<MaintenanceLoop, 'everyMs' | 'atOnce'>[], random = seededRandom(1)) {
  const time = stillTime();
  const rounds = loops.map(() => vi.fn<() => Promise<number>>(() => Promise.resolve(0)));
  const maintenance = new Maintenance(
    loops.map((loop, n) => ({ ...loop, name: `loop-${n}`, runOnce: rounds[n] })),
    random,
    new Metrics(),
    logger,
    time.wait,
  );
  maintenance.start();
  return { maintenance, rounds, waiting: time.waiting };
}

/** Until nothing more happens without the time being moved. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('begins at once what comes often or cannot wait, and the rest somewhere in the first 15 s', async () => {
  const { maintenance, rounds, waiting } = started(
    [{ everyMs: 1000 }, { everyMs: 60_000 }, { everyMs: 3_600_000 }, { everyMs: 600_000, atOnce: true }],
    { ...seededRandom(1), next: () => 0.25 },
  );
  await settled();
  expect(rounds.map((round) => round.mock.calls.length)).toEqual([1, 0, 0, 1]);
  expect(waiting.map(({ ms }) => ms).sort((a, b) => a - b)).toEqual([1000, 3750, 3750, 600_000]);

  for (const { ms, go } of [...waiting]) if (ms === 3750) go();
  await settled();
  expect(rounds.map((round) => round.mock.calls.length)).toEqual([1, 1, 1, 1]);
  await maintenance.stop();
});

it('does not begin what was still to wait when it is stopped', async () => {
  const { maintenance, rounds } = started([{ everyMs: 60_000 }]);
  await settled();
  await maintenance.stop();
  expect(rounds[0]).not.toHaveBeenCalled();
});

it('is not the same moment for all workers', () => {
  const random = seededRandom(7);
  const first = Array.from({ length: 8 }, () => started([{ everyMs: 60_000 }], random).waiting[0].ms);
  expect(new Set(first).size).toBe(8);
  for (const ms of first) expect(ms).toBeLessThan(15_000);
});
