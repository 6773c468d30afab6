import type { FaultRow } from './fault-row.js';
import { row as workerDiesUnderLoad } from './01-worker-dies-under-load.js';
import { row as workerDiesAfterResponse } from './02-worker-dies-after-response.js';
import { row as workerDiesAfterCommit } from './03-worker-dies-after-commit.js';
import { row as frozenWorkerWakes } from './04-frozen-worker-wakes.js';
import { row as gracefulStop } from './05-graceful-stop.js';
import { row as apiDiesAfterCommit } from './07-api-dies-after-commit.js';
import { row as apiDiesMidFanOut } from './08-api-dies-mid-fan-out.js';
import { row as backendsAreTerminated } from './09-backends-are-terminated.js';
import { row as plantedLoss } from './planted-loss.js';

/** In the order of the matrix. */
export const ROWS: readonly FaultRow[] = [
  workerDiesUnderLoad,
  workerDiesAfterResponse,
  workerDiesAfterCommit,
  frozenWorkerWakes,
  gracefulStop,
  apiDiesAfterCommit,
  apiDiesMidFanOut,
  backendsAreTerminated,
];

/** Each must fail: what the suite says about the others is worth nothing otherwise. */
export const PLANTED: readonly FaultRow[] = [plantedLoss];
