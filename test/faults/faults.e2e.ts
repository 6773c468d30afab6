/**
 * Promise: what the fault matrix says of this product holds. The quick rows, as `npm run faults -- --quick` runs them; and a planted
 * loss is reported, or all of that would be worth nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { builtFile } from '../support/child.js';

interface Line {
  row: number;
  name: string;
  seed: number;
  ok: boolean;
  error?: string;
  figures: Record<string, unknown>;
}

async function faults(
  ...args: string[]
): Promise<{ code: number | null; lines: Line[]; last: string; stderr: string }> {
  const child = spawn(process.execPath, [builtFile('test/faults/main.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  const all = stdout.trim().split('\n');
  const lines = all.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
  return { code, lines, last: all.at(-1)!, stderr };
}

it('every quick row of the fault matrix holds', async () => {
  const { code, lines, last, stderr } = await faults('--quick');
  for (const line of lines) console.log(JSON.stringify(line));
  expect(
    lines.filter((line) => !line.ok),
    stderr,
  ).toEqual([]);
  expect(lines.length).toBeGreaterThan(10);
  expect({ code, last }).toEqual({ code: 0, last: `${lines.length} passed, 0 failed` });
}, 420_000);

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
