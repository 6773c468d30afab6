import { afterAll, beforeAll, expect } from 'vitest';

// Every e2e test is searched at its end, whatever it starts. One with startPosthorn has had its verdict by then.
// oxlint-disable-next-line no-standalone-expect -- it only tells the file
if (expect.getState().testPath?.endsWith('.e2e.ts')) {
  const { leaks } = await import('./leak-watch.js');
  beforeAll(() => leaks.begin());
  afterAll(() => leaks.verdict());
}
