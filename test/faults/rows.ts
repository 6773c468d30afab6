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
import { row as receiverRefuses } from './23-receiver-refuses.js';
import { row as receiverHangs } from './24-receiver-hangs.js';
import { row as drippingBodies } from './25-dripping-bodies.js';
import { row as endless1xx } from './26-endless-1xx.js';
import { row as connectionsBreak } from './27-connections-break.js';
import { row as blackholedReceiver } from './28-blackholed-receiver.js';
import { row as packetsAreLost } from './29-packets-are-lost.js';
import { row as tlsFaults } from './30-tls-faults.js';
import { row as dnsFaults } from './31-dns-faults.js';
import { row as dnsRebinding } from './32-dns-rebinding.js';
import { row as redirects } from './33-redirects.js';
import { row as statusDirectives } from './34-status-directives.js';
import { row as responseBombs } from './35-response-bombs.js';
import { row as poisonPayloads } from './36-poison-payloads.js';
import { row as poisonJobs } from './38-poison-jobs.js';
import { row as twoWorkersOfOneName } from './39-two-workers-of-one-name.js';
import { row as fiveSchedulers } from './40-five-schedulers.js';
import { row as clockJumps } from './41-clock-jumps.js';
import { row as hugeBacklog } from './43-huge-backlog.js';
import { row as herdOnRecovery } from './44-herd-on-recovery.js';
import { row as synchronisedRetries } from './45-synchronised-retries.js';
import { row as tenantHogging } from './46-tenant-hogging.js';
import { row as endpointHogging } from './47-endpoint-hogging.js';
import { row as retryStorm } from './48-retry-storm.js';
import { row as secretsRotate } from './53-secrets-rotate.js';
import { row as endpointsChange } from './55-endpoints-change.js';
import { row as bulkReplay } from './56-bulk-replay.js';
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
  receiverRefuses,
  receiverHangs,
  drippingBodies,
  endless1xx,
  connectionsBreak,
  blackholedReceiver,
  packetsAreLost,
  tlsFaults,
  dnsFaults,
  dnsRebinding,
  redirects,
  statusDirectives,
  responseBombs,
  poisonPayloads,
  poisonJobs,
  twoWorkersOfOneName,
  fiveSchedulers,
  clockJumps,
  hugeBacklog,
  herdOnRecovery,
  synchronisedRetries,
  tenantHogging,
  endpointHogging,
  retryStorm,
  secretsRotate,
  endpointsChange,
  bulkReplay,
  retentionUnderLoad,
];

/** Each must fail: what the suite says about the others is worth nothing otherwise. */
export const PLANTED: readonly FaultRow[] = [plantedLoss];
