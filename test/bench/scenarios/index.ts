import type { Scenario } from '../scenario.js';
import { drain } from './drain.js';
import { latency } from './latency.js';
import { limit } from './limit.js';
import { noisy } from './noisy.js';
import { publish } from './publish.js';

/** In the order in which `all` runs them. */
export const SCENARIOS: readonly Scenario[] = [limit, drain, publish, latency, noisy];
