import type { FaultRow } from './fault-row.js';
import { row as workerDiesUnderLoad } from './01-worker-dies-under-load.js';
import { row as workerDiesAfterResponse } from './02-worker-dies-after-response.js';
import { row as workerDiesAfterCommit } from './03-worker-dies-after-commit.js';
import { row as frozenWorkerWakes } from './04-frozen-worker-wakes.js';
import { row as gracefulStop } from './05-graceful-stop.js';
import { row as apiDiesAfterCommit } from './07-api-dies-after-commit.js';
import { row as apiDiesMidFanOut } from './08-api-dies-mid-fan-out.js';
import { row as backendsAreTerminated } from './09-backends-are-terminated.js';
import { row as postgresRestarts } from './10-postgres-restarts.js';
import { row as postgresCrashes } from './11-postgres-crashes.js';
import { row as postgresIsDown } from './12-postgres-is-down.js';
import { row as postgresIsSlow } from './13-postgres-is-slow.js';
import { row as halfOpenConnections } from './14-half-open-connections.js';
import { row as workerCutFromDatabase } from './15-worker-cut-from-database.js';
import { row as oneWorkerIsCutOff } from './16-one-worker-is-cut-off.js';
import { row as databaseDiskIsFull } from './17-database-disk-is-full.js';
import { row as connectionsAreLimited } from './19-connections-are-limited.js';
import { row as deadlocks } from './20-deadlocks.js';
import { row as poisonJobs } from './38-poison-jobs.js';
import { row as twoWorkersOfOneName } from './39-two-workers-of-one-name.js';
import { row as fiveSchedulers } from './40-five-schedulers.js';
import { row as clockJumps } from './41-clock-jumps.js';
import { row as retentionUnderLoad } from './57-retention-under-load.js';
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
  postgresRestarts,
  postgresCrashes,
  postgresIsDown,
  postgresIsSlow,
  halfOpenConnections,
  workerCutFromDatabase,
  oneWorkerIsCutOff,
  databaseDiskIsFull,
  connectionsAreLimited,
  deadlocks,
  poisonJobs,
  twoWorkersOfOneName,
  fiveSchedulers,
  clockJumps,
  retentionUnderLoad,
];

/** Each must fail: what the suite says about the others is worth nothing otherwise. */
export const PLANTED: readonly FaultRow[] = [plantedLoss];
