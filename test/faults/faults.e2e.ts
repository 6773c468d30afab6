/**
 * Promise: what the fault matrix says of this product holds. The quick rows, as `npm run faults -- --quick` runs them, but for those
 * that measure (faults-alone.e2e.ts); and a planted loss is reported, or all of that would be worth nothing. A row whose short
 * variant says nothing that another test does not say is not quick; each group of the matrix has some that are.
 */
import { expect, it } from 'vitest';
import { everyQuickRow, faults } from './run-faults.js';

const GROUPS: Readonly<Record<string, readonly number[]>> = {
  worker: [1, 2, 3, 4, 5],
  api: [7, 8],
  database: [9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20],
  receiver: [23, 24, 25, 26, 33, 34, 35],
  network: [27, 28, 29, 30, 31, 32],
  inputs: [36],
  queue: [38, 39, 40, 41],
  load: [43, 44, 45, 46, 47, 48, 56, 57],
  configuration: [53, 55],
};

it('every quick row that may have company holds', () => everyQuickRow('rest'), 420_000);

it('the quick rows are of every group of the matrix', async () => {
  const rowsOf = async (...args: string[]) => {
    const { code, stdout } = await faults('--list', ...args);
    expect(code).toBe(0);
    return [...stdout.matchAll(/^ *(\d+) {2}/gm)].map(([, row]) => Number(row));
  };
  expect(await rowsOf()).toEqual(
    Object.values(GROUPS)
      .flat()
      .sort((a, b) => a - b),
  );
  const quick = await rowsOf('--quick');
  const without = Object.entries(GROUPS).filter(([, rows]) => !rows.some((row) => quick.includes(row)));
  expect(without.map(([group]) => group)).toEqual([]);
});

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
