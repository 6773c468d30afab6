import { expect, it } from 'vitest';
import { SCENARIOS } from './index.js';

// The most that --seconds takes.
const SECONDS_MAX = 600;

it.each([
  ['publish', 1],
  ['latency', 2],
  ['noisy', 2],
  ['growth', 4],
  ['memory', 1],
  ['soak', 1],
])('%s is given up only after the %i × --seconds that it measures', (name, turns) => {
  const scenario = SCENARIOS.find((each) => each.name === name)!;
  expect(scenario.timeoutSeconds?.(SECONDS_MAX)).toBeGreaterThan(turns * SECONDS_MAX + 60);
});
