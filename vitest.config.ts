import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from './test/support/closing-line.reporter.js';
import { LongestFirst } from './test/support/longest-first.sequencer.js';

// Most tests wait for something half of the time (a heartbeat, a retry, a process that starts). Vitest's own choice on two cores
// is one at a time; with three the waits of 15 s begin to fail.
const LANES = 2;

// What they measure, in milliseconds or as a ratio, would be the neighbour's doing: one after the other, when the rest is over.
const ALONE = [
  'test/e2e/circuit-recovers-slowly.e2e.ts',
  'test/e2e/due-retries-are-on-time.e2e.ts',
  'test/e2e/hanging-endpoint-is-alone.e2e.ts',
  'test/e2e/pause-burns-nothing.e2e.ts',
  'test/e2e/stopped-endpoint-gets-nothing.e2e.ts',
  'test/faults/faults-alone.e2e.ts',
  'test/integration/api-slow-clients.spec.ts',
  'test/integration/memory-settings.spec.ts',
  'test/integration/rates.spec.ts',
  'apps/api/src/edge/json-body.spec.ts',
  'apps/api/src/events/parse-events.spec.ts',
  'libs/delivery/src/http/*.spec.ts',
  'libs/domain/src/ids.spec.ts',
];

// Each file is a process that loads the same packages: compiled once, they take a seventh off the processor time of a small file
// (8 files: 36 s of it without, 31 with). Not for what tests start: compile-cache.setup.ts forgets it.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('dist/.compile-cache', import.meta.url));

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    globalSetup: ['test/support/database.global.ts'],
    reporters: ['default', new ClosingLineReporter()],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'together',
          include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts', 'test/**/*.e2e.ts'],
          exclude: ['**/node_modules/**', ...ALONE],
          maxWorkers: LANES,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
    setupFiles: ['test/support/compile-cache.setup.ts', 'test/support/leak-watch.setup.ts'],
    // Processes, not threads: tests send signals, change directories and load native state.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A flaky test is a bug report.
    retry: 0,
  },
});
