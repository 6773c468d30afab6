// Real: Node with what api and worker import first; Dockerfile, docker-compose.yml and README.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { NODE_OPTIONS } from '../../apps/node-options.js';
import { builtFile } from '../support/child.js';

// Much that stays, then ten times as much that lives just long enough to leave the young generation: the pattern of accepting.
const LOAD = `
  const piece = () => Array.from({ length: 2_000 }, (_, i) => ({ i }));
  const kept = Array.from({ length: 800 }, piece);
  globalThis.gc();
  const v8 = await import('node:v8');
  const old = () => v8.getHeapSpaceStatistics().find((each) => each.space_name === 'old_space').space_used_size;
  const passing = [];
  let most = 0;
  for (let n = 0; n < 8_000; n++) {
    passing[n % 200] = piece();
    if (n % 20 > 0) continue;
    most = Math.max(most, old());
    // What collects beside us asks to be let in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  console.log(kept.length && most);
`;

/** Of the old generation, at most. */
async function bytesMost(...first: string[]): Promise<number> {
  const args = ['--expose-gc', ...NODE_OPTIONS.api, ...first, '--input-type=module', '--eval', LOAD];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

it('what died in the old generation is collected early', async () => {
  const early = await bytesMost('--import', `file://${builtFile('apps/v8-flags.js')}`);
  // Half as much, where nothing else is at work; what collects beside the program falls behind where there is.
  expect(early / (await bytesMost())).toBeLessThan(0.75);
});

it('a worker collects its young generation in one thread', async () => {
  expect(await threadsOfScavenge('--import', `file://${builtFile('apps/worker/src/v8-flags.js')}`)).toBe(1);
});

it('a worker collects its young generation when it is full, not before', async () => {
  const worker = await scavenges('--import', `file://${builtFile('apps/worker/src/v8-flags.js')}`);
  // A fifth less.
  expect(worker / (await scavenges())).toBeLessThan(0.9);
});

it('a worker loads what it is made of without looking through its old generation', async () => {
  const main = builtFile('apps/worker/src/main.js');
  // Without a database it ends when all is loaded.
  const majors = async (...options: string[]): Promise<number> => {
    const { stdout } = await promisify(execFile)(process.execPath, [...options, '--trace-gc', main], {
      env: { PATH: process.env['PATH'] },
    }).catch((error: unknown) => error as { stdout: string });
    return stdout.split(' Mark-Compact ').length - 1;
  };
  // Made to begin low, as it would for a worker that loads a little more.
  expect(await majors(NODE_OPTIONS.worker[0], '--initial-old-space-size=8')).toBeGreaterThan(0);
  expect(await majors(...NODE_OPTIONS.worker)).toBe(0);
});

// Between the turns of the event loop V8 may look whether it is time.
const LOAD_IN_TURNS = `
  const some = [];
  for (let n = 0; n < 3_000_000; n++) {
    some[n % 3_000] = { n, list: new Array(50).fill(n) };
    if (n % 50 === 0) await new Promise(setImmediate);
  }
`;

async function scavenges(...first: string[]): Promise<number> {
  const args = [
    ...NODE_OPTIONS.worker,
    '--trace-gc',
    ...first,
    '--input-type=module',
    '--eval',
    LOAD_IN_TURNS,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout.split(': Scavenge ').length - 1;
}

// What lives for a while and is gone before it is old.
const YOUNG_LOAD = `
  const some = [];
  for (let n = 0; n < 3_000_000; n++) some[n % 30_000] = { n, list: [n] };
`;

/** How many take part in one, mostly: each says so before it is told that it was. */
async function threadsOfScavenge(...first: string[]): Promise<number> {
  const tracing = ['--trace-gc', '--trace-parallel-scavenge'];
  const args = [...NODE_OPTIONS.worker, ...tracing, ...first, '--input-type=module', '--eval', YOUNG_LOAD];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const scavenges = stdout.split(': Scavenge ').slice(0, -1);
  const threads = scavenges.map((lines) => lines.split('scavenge[').length - 1).sort((a, b) => a - b);
  return threads[Math.floor(threads.length / 2)];
}

it.each(['api', 'worker'])('the %s says so before it imports what it is made of', (app) => {
  const imports = [...read(`apps/${app}/src/main.ts`).matchAll(/^import .*'(.*)';$/gm)].map(
    ([, from]) => from,
  );
  expect(imports.slice(0, 2)).toEqual(['../../version-guard.js', '../../v8-flags.js']);
});

it('the worker says next what is for it alone', () => {
  expect(read('apps/worker/src/main.ts').split('\n')[2]).toBe(`import './v8-flags.js';`);
});

it.each(['Dockerfile', 'README.md'])(
  '%s names the options of Node that `posthorn up` gives an api',
  (path) => {
    expect(read(path)).toContain(`NODE_OPTIONS=${NODE_OPTIONS.api.join(' ')}`);
  },
);

it.each(['docker-compose.yml', 'README.md'])('%s names those of a worker', (path) => {
  const worker = [...NODE_OPTIONS.worker, 'dist/apps/worker/src/main.js'];
  expect(read(path).replaceAll("', '", ' ')).toContain(`node ${worker.join(' ')}`);
});

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}
