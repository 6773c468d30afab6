import { defineConfig } from 'vitest/config';
import { ClosingLineReporter } from './test/support/closing-line.reporter.js';

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    include: ['libs/**/*.spec.ts', 'apps/**/*.spec.ts', 'test/**/*.spec.ts', 'test/**/*.e2e.ts'],
    globalSetup: ['test/support/database.global.ts'],
    setupFiles: ['test/support/leak-watch.setup.ts'],
    reporters: ['default', new ClosingLineReporter()],
    // Processes, not threads: tests send signals, change directories and load native state.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A flaky test is a bug report.
    retry: 0,
  },
});
