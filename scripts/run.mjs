// The one door to everything: node scripts/run.mjs <start|posthorn|test|check|bench|faults|golden|build> [args…]
// Installs and builds what changed since last time, then does the job with the Node that the lockfile names.
// Plain JavaScript without packages, for Node 18 and later: it runs before anything is installed.
import { mkdirSync } from 'node:fs';
import { buildIfChanged } from './build.mjs';
import { check } from './check.mjs';
import { runJob } from './child.mjs';
import { installIfChanged } from './install.mjs';
import { withLock } from './lock.mjs';
import { inRepository, nodeForJobs } from './paths.mjs';

const JOBS = {
  start: (args) => ['dist/apps/cli/src/main.js', 'up', ...args],
  posthorn: (args) => ['dist/apps/cli/src/main.js', ...args],
  test: (args) => ['node_modules/vitest/vitest.mjs', 'run', ...args],
  golden: (args) => ['node_modules/vitest/vitest.mjs', 'run', 'test/golden', ...args],
  bench: (args) => ['dist/test/bench/main.js', ...args],
  faults: (args) => ['dist/test/faults/main.js', ...args],
};
const ENVIRONMENT = { golden: { UPDATE_GOLDEN: '1' } };

const [job, ...args] = process.argv.slice(2);
if (job !== 'check' && job !== 'build' && !Object.hasOwn(JOBS, job ?? '')) {
  console.error(
    `Usage: node scripts/run.mjs <${[...Object.keys(JOBS), 'check', 'build'].join('|')}> [args…]`,
  );
  process.exit(2);
}

try {
  mkdirSync(inRepository('.posthorn'), { recursive: true });
  await withLock(inRepository('.posthorn/set-up.lock'), async (alsoHeldBy) => {
    await installIfChanged(alsoHeldBy);
    await buildIfChanged(alsoHeldBy);
  });
  if (job === 'build') process.exit(0);
  if (job === 'check') process.exit(await check(args));
  process.exit(await runJob(nodeForJobs(), JOBS[job](args), ENVIRONMENT[job]));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
