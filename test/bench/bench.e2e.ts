import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { builtFile } from '../support/child.js';
import type { Result } from './scenario.js';
import { SCENARIOS } from './scenarios/index.js';

// Real: the bench as `npm run bench` starts it, with api, worker and a durable PostgreSQL. Small: it is asked what it
// reports, never how fast this machine is.

const NOTHING_DELIVERED = ['batch', 'lists', 'memory'];
const COSTS = [
  'cpuMsPerDelivery',
  'walBytesPerDelivery',
  'rowsWrittenPerDelivery',
  'statementsPerDelivery',
  'millionUsd',
] as const;

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

// All in one run, as `all` does it: one server and one history serve them all.
it('runs every scenario, tells each by everything that is needed to compare it, and leaves nothing behind', async () => {
  const sizes = { seconds: 1, deliveries: 200, 'limit-seconds': 1, endpoints: 3, pending: 500 };
  const history = { history: 3000, subscribers: 50, 'history-dir': join(dir, 'none'), dir };
  const args = Object.entries({ ...sizes, ...history }).flatMap(([name, value]) => [
    `--${name}`,
    String(value),
  ]);
  const { code, stdout, stderr } = await bench('all', '--json', '--smoke', ...args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(await readdir(dir)).toEqual([]);

  // One document and nothing else: `all --json > file` is a file of JSON.
  const { ok, results } = JSON.parse(stdout) as { ok: boolean; results: Result[] };
  expect(ok).toBe(true);
  expect(results.map(({ scenario }) => scenario)).toEqual(SCENARIOS.map(({ name }) => name));
  for (const result of results) {
    const { scenario } = result;
    for (const field of ['value', 'limit', 'ratio'] as const)
      expect(result[field], `${scenario} ${field}`).toBeGreaterThan(0);
    expect(result.machine).toMatchObject({
      cores: expect.any(Number) as number,
      node: process.versions.node,
    });
    if (scenario === 'limit') continue;
    expect(result.machine).toMatchObject({ fsync: 'on', synchronousCommit: 'on' });
    expect(result.met, scenario).toEqual(expect.any(Boolean));
    for (const { what, measured } of result.musts) expect(measured, what).toEqual(expect.any(Number));
    if (NOTHING_DELIVERED.includes(scenario)) continue;
    expect(result.counts).toMatchObject({ missing: 0, unknown: 0 });
    expect(result.counts!.received).toBe(result.counts!.accepted);
    if (scenario === 'noisy') continue;
    for (const each of COSTS) expect(result.cost![each], `${scenario} ${each}`).toBeGreaterThan(0);
  }
  const named = (name: string) => results.find(({ scenario }) => scenario === name)!;
  expect(named('drain').counts!.accepted).toBe(200);
  expect(named('fanout').counts!.accepted).toBe(200);
  expect(named('batch').details).toMatchObject({ accepted: 650, stored: 650 });
  expect(named('memory').details).toMatchObject({ stored: 500 });
  expect(named('growth').details).toMatchObject({ historyDeliveries: 3000, historySubscribers: 50 });
  for (const { p50Ms, p95Ms, p99Ms } of [named('publish'), named('latency'), named('lists')]) {
    expect(p50Ms).toBeGreaterThan(0);
    expect(p95Ms).toBeGreaterThanOrEqual(p50Ms!);
    expect(p99Ms).toBeGreaterThanOrEqual(p95Ms!);
  }
}, 180_000);

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
