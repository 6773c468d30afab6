import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import { builtFile } from '../support/child.js';

export async function everyQuickRow(part: 'alone' | 'rest'): Promise<void> {
  const { code, lines, last, stderr } = await faults('--quick', '--part', part);
  for (const line of lines) console.log(JSON.stringify(line));
  expect(
    lines.filter((line) => !line.ok),
    stderr,
  ).toEqual([]);
  expect(lines.length).toBeGreaterThan(3);
  expect({ code, last }).toEqual({ code: 0, last: `${lines.length} passed, 0 failed` });
}

/** `npm run faults -- …` to its end. */
export async function faults(
  ...args: string[]
): Promise<{ code: number | null; lines: Line[]; last: string; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [builtFile('test/faults/main.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  const all = stdout.trim().split('\n');
  const lines = all.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
  return { code, lines, last: all.at(-1)!, stdout, stderr };
}

interface Line {
  row: number;
  name: string;
  seed: number;
  ok: boolean;
  error?: string;
  figures: Record<string, unknown>;
}
