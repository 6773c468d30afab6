import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends every run with one line that a person and a program read alike: `12 passed, 0 failed`.
 * A file that could not be loaded, or whose hooks failed, counts as a failure: its tests did not pass.
 */
export class ClosingLineReporter implements Reporter {
  onTestRunEnd(testModules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const testModule of testModules) {
      let failedHere = 0;
      for (const test of testModule.children.allTests()) {
        const { state } = test.result();
        count[state === 'pending' ? 'skipped' : state] += 1;
        if (state === 'failed') failedHere += 1;
      }
      if (!testModule.ok() && failedHere === 0) count.failed += 1;
    }
    if (unhandledErrors.length > 0 && count.failed === 0) count.failed = unhandledErrors.length;
    this.line = `${count.passed} passed, ${count.failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ''}`;
    // After the default reporter's summary, which is written in the same event, and after global teardown.
    process.once('exit', () => process.stdout.write(`${this.line}\n`));
  }

  private line = '';
}
