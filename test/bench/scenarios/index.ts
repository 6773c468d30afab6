import type { Scenario } from '../scenario.js';
import { batch } from './batch.js';
import { drain } from './drain.js';
import { fanout } from './fanout.js';
import { growth } from './growth.js';
import { latency } from './latency.js';
import { limit } from './limit.js';
import { lists } from './lists.js';
import { memory } from './memory.js';
import { noisy } from './noisy.js';
import { publish } from './publish.js';
import { soak } from './soak.js';
import { workers } from './workers.js';

/** In the order in which `all` runs them. */
export const SCENARIOS: readonly Scenario[] = [
  limit,
  drain,
  workers,
  publish,
  batch,
  fanout,
  latency,
  noisy,
  growth,
  lists,
  memory,
  soak,
];
