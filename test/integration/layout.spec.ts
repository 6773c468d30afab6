/** Plants one fault for each import rule in a small tree of its own and sees every rule find its own. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
// @ts-expect-error a plain configuration file, without types
import rules from '../../.dependency-cruiser.mjs';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const FAULTS: Record<string, Record<string, string>> = {
  'no-cycles': {
    'libs/domain/src/a.ts': `import './b.js'; export const a = 1;`,
    'libs/domain/src/b.ts': `import './a.js'; export const b = 1;`,
  },
  'pure-stays-pure': { 'libs/domain/src/reads.ts': `import '../../persistence/src/index.js';` },
  'tech-below-stages': { 'libs/queue/src/knows.ts': `import '../../delivery/src/index.js';` },
  'stages-meet-in-tables': { 'libs/ingest/src/meets.ts': `import '../../console/src/index.js';` },
  'front-door': { 'apps/api/src/back.ts': `import '../../../libs/console/src/secret.js';` },
  'apps-apart': { 'apps/api/src/neighbour.ts': `import '../../worker/src/pump.js';` },
  'libs-below-apps': { 'libs/endpoints/src/up.ts': `import '../../../apps/worker/src/pump.js';` },
  'migrations-alone': { 'migrations/1-x.ts': `import '../libs/domain/src/index.js';` },
  'one-dialler': { 'libs/ingest/src/dials.ts': `import { get } from 'node:https'; get('x');` },
  'product-without-tests': { 'libs/endpoints/src/tested.ts': `import '../../../test/support/x.js';` },
};
const INNOCENT: Record<string, string> = {
  'libs/domain/src/index.ts': 'export {};',
  'libs/persistence/src/index.ts': 'export {};',
  'libs/delivery/src/index.ts': 'export {};',
  'libs/console/src/index.ts': 'export {};',
  'libs/console/src/secret.ts': 'export {};',
  'apps/worker/src/pump.ts': 'export {};',
  'test/support/x.ts': 'export {};',
};

let tree: string;
beforeAll(async () => {
  tree = await mkdtemp(join(tmpdir(), 'posthorn-layout-'));
  for (const file of ['.dependency-cruiser.mjs', 'tsconfig.json', 'package.json'])
    await cp(join(repository, file), join(tree, file));
  await symlink(join(repository, 'node_modules'), join(tree, 'node_modules'));
  for (const [file, text] of Object.entries(
    Object.assign({}, INNOCENT, ...Object.values(FAULTS)) as Record<string, string>,
  )) {
    await mkdir(dirname(join(tree, file)), { recursive: true });
    await writeFile(join(tree, file), text);
  }
});
afterAll(() => rm(tree, { recursive: true, force: true }));

it('every import rule finds the fault that was planted for it', async () => {
  const program = join(repository, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [program, '--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'apps', 'libs', 'migrations'],
    { cwd: tree, maxBuffer: 64 * 1024 * 1024 },
  ).catch((error: { stdout: string }) => error);
  const { summary } = JSON.parse(stdout) as {
    summary: { violations: { from: string; rule: { name: string } }[] };
  };
  const found = new Set(summary.violations.map(({ from, rule }) => `${rule.name} ${from}`));
  for (const [rule, files] of Object.entries(FAULTS))
    expect(found).toContain(`${rule} ${Object.keys(files)[0]}`);
  expect(Object.keys(FAULTS).sort()).toEqual(
    (rules as { forbidden: { name: string }[] }).forbidden.map(({ name }) => name).sort(),
  );
});
