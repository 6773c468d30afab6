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
  'one-dialler': {
    'libs/ingest/src/dials.ts': `import { get } from 'node:https'; get('x');`,
    'libs/ingest/src/dials-later.ts': `export const net = await import('node:net');`,
    'libs/ingest/src/requires.ts': `import tls = require('node:tls'); tls.connect(1);`,
    'apps/api/src/hands-on.ts': `export { request } from 'undici';`,
  },
  'requests-are-the-apis': {
    'apps/worker/src/reads.ts': `import '../../../libs/dto/src/index.js';`,
    'libs/ingest/src/checks.ts': `export { validateSync } from 'class-validator';`,
    'libs/contracts/src/documents.ts': `export { ApiProperty } from '@nestjs/swagger';`,
    'apps/cli/src/nests.ts': `export { NestFactory } from '@nestjs/core';`,
  },
  'product-without-tests': { 'libs/endpoints/src/tested.ts': `import '../../../test/support/x.js';` },
  'product-without-dev-packages': { 'libs/delivery/src/http/old.ts': `export { Client } from 'undici';` },
};
const INNOCENT: Record<string, string> = {
  'libs/domain/src/index.ts': 'export {};',
  'libs/persistence/src/index.ts': 'export {};',
  'libs/delivery/src/index.ts': 'export {};',
  'libs/dto/src/index.ts': 'export {};',
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
  for (const [rule, files] of Object.entries(FAULTS)) {
    // One cycle is found once, in the first of its files.
    const faulty = rule === 'no-cycles' ? Object.keys(files).slice(0, 1) : Object.keys(files);
    for (const file of faulty) expect(found).toContain(`${rule} ${file}`);
  }
  expect(Object.keys(FAULTS).sort()).toEqual(
    (rules as { forbidden: { name: string }[] }).forbidden.map(({ name }) => name).sort(),
  );
});

/** By file: which lint rule has to find it, or null where it is permitted. */
const LINT_FAULTS: Record<string, [text: string, rule: string | null]> = {
  'libs/ingest/src/l1.ts': [`import { get } from 'node:https';\nget('x');`, 'no-restricted-imports'],
  'libs/ingest/src/l2.ts': [`import { connect } from 'tls';\nconnect(1);`, 'no-restricted-imports'],
  'apps/worker/src/l3.ts': [`import { request } from 'undici';\nvoid request('x');`, 'no-restricted-imports'],
  'apps/worker/src/l4.ts': [`export { connect } from 'node:net';`, 'no-restricted-imports'],
  'libs/console/src/l5.ts': [
    `import { promises } from 'node:dns';\nvoid promises.lookup('x');`,
    'no-restricted-imports',
  ],
  'libs/console/src/l6.ts': [`void fetch('x');`, 'no-restricted-globals'],
  'libs/console/src/l7.ts': [`export const s = new WebSocket('x');`, 'no-restricted-globals'],
  'libs/console/src/l8.ts': [`void globalThis.fetch('x');`, 'no-restricted-properties'],
  'libs/console/src/l9.ts': [`export const n = process.getBuiltinModule('net');`, 'no-restricted-properties'],
  'libs/console/src/m1.ts': [`import type { Socket } from 'node:net';\nexport type S = Socket;`, null],
  'apps/worker/src/serve-health.ts': [
    `import { createServer, get } from 'node:http';\ncreateServer().close();\nget('x');`,
    'no-restricted-imports',
  ],
  'libs/delivery/src/http/m2.ts': [`import { connect } from 'node:net';\nconnect(1);`, null],
};

it('the lint rule finds who dials beside the one module', async () => {
  const lintTree = await mkdtemp(join(tmpdir(), 'posthorn-lint-'));
  try {
    await cp(join(repository, '.oxlintrc.json'), join(lintTree, '.oxlintrc.json'));
    for (const [file, [text]] of Object.entries(LINT_FAULTS)) {
      await mkdir(dirname(join(lintTree, file)), { recursive: true });
      await writeFile(join(lintTree, file), `${text}\n`);
    }
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(repository, 'node_modules/oxlint/bin/oxlint'), '--format', 'json'],
      { cwd: lintTree },
    ).catch((error: { stdout: string }) => error);
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
    const found = diagnostics.map(
      ({ code, filename }) => `${filename} ${/no-restricted-\w+/.exec(code)?.[0]}`,
    );
    const expected = Object.entries(LINT_FAULTS).flatMap(([file, [, rule]]) =>
      rule ? [`${file} ${rule}`] : [],
    );
    expect(found.toSorted()).toEqual(expected.toSorted());
  } finally {
    await rm(lintTree, { recursive: true, force: true });
  }
});
