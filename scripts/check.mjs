import { audit } from './audit.mjs';
import { runJob } from './child.mjs';
import { inRepository, nodeForJobs } from './paths.mjs';

/** Exactly what CI runs, quickest verdict first. */
const STEPS = [
  ['types', 'typescript7/bin/tsc', '-p', 'tsconfig.json', '--noEmit'],
  ['lint', 'oxlint/bin/oxlint', '--type-aware', '--deny-warnings'],
  ['format', 'prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'],
  [
    'imports',
    'dependency-cruiser/bin/dependency-cruiser.mjs',
    '--config',
    '.dependency-cruiser.mjs',
    'apps',
    'libs',
    'migrations',
  ],
  ['packages'],
  ['tests', 'vitest/vitest.mjs', 'run'],
];

/** Stops at the first step that fails and answers its exit code. `--no-test`: CI has just run the tests by themselves. */
export async function check(args) {
  const steps = STEPS.filter(([name]) => !(name === 'tests' && args.includes('--no-test')));
  for (const [name, program, ...options] of steps) {
    console.log(`\n── ${name} ──`);
    const code =
      program === undefined
        ? await audit()
        : await runJob(nodeForJobs(), [inRepository(`node_modules/${program}`), ...options]);
    if (code !== 0) {
      console.error(`\ncheck failed: ${name}`);
      return code;
    }
  }
  console.log(`\ncheck passed: ${steps.map(([name]) => name).join(', ')}`);
  return 0;
}
