/**
 * Promise: whatever happens in whatever order, nothing that was accepted is lost, doubled without a cause, sent out of turn
 * or early, and everything ends. The rules are the product's; store, workers, receivers and time are played, so that
 * thousands of histories fit into seconds. A failing history is printed with its seed; with POSTHORN_MODEL_SEED it is run again.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { happenings, runOut } from './commands.js';
import { PLANTED_FAULTS, type PlantedFault } from './store-double.js';
import { World } from './world.js';

const SEED = Number(process.env.POSTHORN_MODEL_SEED ?? randomInt(2 ** 31));
const RUNS = Number(process.env.POSTHORN_MODEL_RUNS ?? 15_000);
// The same histories every time, and more than the rarest of the faults takes with them.
const PLANTED = { seed: 1, numRuns: 5000, endOnFailure: true };

function histories(fault: PlantedFault | null): fc.IProperty<[Iterable<fc.Command<object, World>>, number]> {
  return fc.property(happenings(), fc.nat(), (commands, seed) => {
    const world = new World(seed, fault);
    fc.modelRun(() => ({ model: {}, real: world }), commands);
    runOut(world);
  });
}

it(`keeps what was promised in ${RUNS} histories`, () => {
  const found = fc.check(histories(null), { numRuns: RUNS, seed: SEED });
  if (!found.failed) return;
  const again = `POSTHORN_MODEL_SEED=${SEED} npx vitest run test/model/model.spec.ts`;
  const [commands, seed] = found.counterexample!;
  const history = `${[...commands].join('\n')}\nwith chance ${seed}`;
  throw new Error(`${String(found.errorInstance)} after\n${history}\nAgain: ${again}`);
}, 120_000);

it.each(PLANTED_FAULTS)('sees a planted fault: %s', (fault) => {
  const { failed } = fc.check(histories(fault), PLANTED);
  expect(failed, `not seen in ${PLANTED.numRuns} histories`).toBe(true);
});
