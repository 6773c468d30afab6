// Real: package.json and package-lock.json; scripts/audit.mjs with npm, and a registry of our own on loopback.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

it('package.json says of each package that has an install script that it may not run it, and the installation runs none', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { hasInstallScript?: boolean }>;
  };
  const withScripts = Object.entries(packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.split('node_modules/').at(-1)!);
  const { allowScripts } = JSON.parse(read('package.json')) as { allowScripts: Record<string, boolean> };
  expect(allowScripts).toEqual(Object.fromEntries(withScripts.map((name) => [name, false])));
  expect(read('.npmrc')).toMatch(/^ignore-scripts=true$/m);
  for (const path of ['scripts/install.mjs', 'Dockerfile'])
    for (const [line] of read(path).matchAll(/RUN npm ci[^\n]*|'ci',[^;]*/g))
      expect(line).toMatch(/--ignore-scripts/);
});

it.each([
  ['a high finding', { severity: 'high' }, 1, /prom-client .*: high/],
  ['a moderate finding', { severity: 'moderate' }, 0, /^$/],
  ['a registry that refuses to tell', null, 0, /not checked/],
])('npm run check with %s', async (_, finding, code, said) => {
  const registry = createServer((request, response) => {
    request.resume();
    if (!finding) return response.writeHead(405).end();
    const advisory = {
      id: 1,
      url: 'http://127.0.0.1/1',
      title: 'planted',
      vulnerable_versions: '*',
      ...finding,
    };
    return response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(
        JSON.stringify(
          request.method === 'POST'
            ? { 'prom-client': [advisory] }
            : { name: 'prom-client', versions: { '15.1.3': { name: 'prom-client', version: '15.1.3' } } },
        ),
      );
  });
  await once(registry.listen(0, '127.0.0.1'), 'listening');
  const { port } = registry.address() as { port: number };
  // npm remembers what it made of an advisory.
  const cache = await mkdtemp(join(tmpdir(), 'posthorn-npm-'));
  try {
    const run = promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', "process.exit(await (await import('./scripts/audit.mjs')).audit())"],
      {
        cwd: new URL('../..', import.meta.url),
        env: {
          PATH: process.env['PATH'],
          HOME: process.env['HOME'],
          npm_config_cache: cache,
          npm_config_registry: `http://127.0.0.1:${port}`,
        },
      },
    );
    const { stdout, stderr, exit } = await run.then(
      (out) => ({ ...out, exit: 0 }),
      (error: { stdout: string; stderr: string; code: number }) => ({ ...error, exit: error.code }),
    );
    expect({ exit, said: (stdout + stderr).trim() }).toEqual({
      exit: code,
      said: expect.stringMatching(said),
    });
  } finally {
    registry.close();
    await rm(cache, { recursive: true });
  }
});
