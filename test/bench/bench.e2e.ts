import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtFile } from '../support/child.js';
import type { Result } from './scenario.js';

// Real: the bench as `npm run bench` starts it, with api, worker and a durable PostgreSQL. Small: it is asked what it
// reports, never how fast this machine is.

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bench-e2e-'));
  // As root the server runs as another user, who must be able to enter.
  await chmod(dir, 0o711);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const start = (...args: string[]) =>
  spawn(process.execPath, [builtFile('test/bench/main.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

async function bench(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = start(...args);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

describe.each(['limit', 'drain', 'publish', 'latency', 'noisy'])('%s', (scenario) => {
  it('reports one object with everything needed to compare it, and leaves nothing behind', async () => {
    const small = [
      '--seconds',
      '1',
      '--deliveries',
      '200',
      '--limit-seconds',
      '1',
      '--endpoints',
      '3',
      '--dir',
      dir,
    ];
    const { code, stdout, stderr } = await bench(scenario, '--json', ...small);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const result = JSON.parse(stdout.trim().split('\n').at(-1)!) as Result;
    expect(result).toMatchObject({ scenario, ok: true, unit: expect.any(String) as string });
    for (const field of ['value', 'limit', 'ratio'] as const) expect(result[field]).toBeGreaterThan(0);
    expect(result.machine).toMatchObject({
      cores: expect.any(Number) as number,
      node: process.versions.node,
    });

    if (scenario !== 'limit') {
      expect(result.machine).toMatchObject({ fsync: 'on', synchronousCommit: 'on' });
      expect(result.counts).toMatchObject({ missing: 0, unknown: 0 });
      expect(result.counts!.received).toBe(result.counts!.accepted);
    }
    if (scenario === 'drain') expect(result.counts!.accepted).toBe(200);
    if (scenario === 'drain' || scenario === 'publish') {
      const costs = [
        'cpuMsPerDelivery',
        'walBytesPerDelivery',
        'rowsWrittenPerDelivery',
        'statementsPerDelivery',
      ] as const;
      for (const name of [...costs, 'millionUsd'] as const) expect(result.cost![name]).toBeGreaterThan(0);
      expect(result.met).toEqual(expect.any(Boolean));
    }
    if (scenario === 'publish' || scenario === 'latency') {
      expect(result.p50Ms).toBeGreaterThan(0);
      expect(result.p95Ms).toBeGreaterThanOrEqual(result.p50Ms!);
      expect(result.p99Ms).toBeGreaterThanOrEqual(result.p95Ms!);
    }
    expect(await readdir(dir)).toEqual([]);
  }, 90_000);
});

it('cleans up when it is interrupted in the middle of a start', async () => {
  const child = start('drain', '--limit-seconds', '1', '--dir', dir);
  let stderr = '';
  const starting = new Promise<void>((resolve) => {
    child.stderr.on(
      'data',
      (chunk: Buffer) => (stderr += chunk.toString()).includes('starting PostgreSQL') && resolve(),
    );
  });
  await starting;
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number | null];
  expect({ code, stderr }).toMatchObject({ code: 130 });
  expect(await readdir(dir)).toEqual([]);
}, 60_000);

it('refuses what it does not understand', async () => {
  expect(await bench('--workers', '0', 'drain')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('1 to 16') as string,
  });
  expect(await bench('nonsense')).toMatchObject({ code: 2 });
  expect((await bench('--help')).stdout).toContain('latency');
});
