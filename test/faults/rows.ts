import type { FaultRow } from './fault-row.js';
import { row as workerDiesAfterResponse } from './02-worker-dies-after-response.js';
import { row as workerDiesAfterCommit } from './03-worker-dies-after-commit.js';
import { row as plantedLoss } from './planted-loss.js';

/** In the order of the matrix. */
export const ROWS: readonly FaultRow[] = [workerDiesAfterResponse, workerDiesAfterCommit];

/** Each must fail: what the suite says about the others is worth nothing otherwise. */
export const PLANTED: readonly FaultRow[] = [plantedLoss];
