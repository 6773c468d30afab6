/**
 * Promise: what the fault matrix says of this product holds. The quick rows, as `npm run faults -- --quick` runs them, but for those
 * that measure (faults-alone.e2e.ts); and a planted loss is reported, or all of that would be worth nothing.
 */
import { expect, it } from 'vitest';
import { everyQuickRow, faults } from './run-faults.js';

it('every quick row that may have company holds', () => everyQuickRow('rest'), 420_000);

it('a delivery that was lost is seen', async () => {
  const { code, lines, last } = await faults('--planted', '--seed', '7');
  expect(lines).toMatchObject([
    { row: 0, name: 'planted-loss', seed: 7, ok: false, error: expect.stringMatching(/^I1: /) as string },
  ]);
  expect({ code, last }).toEqual({ code: 1, last: '0 passed, 1 failed' });
}, 60_000);

it('refuses a row that does not exist', async () => {
  expect(await faults('--row', '999')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no row 999') as string,
  });
});
