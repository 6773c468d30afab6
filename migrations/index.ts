import { OrdinaryTables1795305600001 } from './1795305600001-ordinary-tables.js';
import { LargeTables1795305600002 } from './1795305600002-large-tables.js';
import { Queue1795305600003 } from './1795305600003-queue.js';
import { Boundary1795392000004 } from './1795392000004-boundary.js';
import { RowSecurity1795478400005 } from './1795478400005-row-security.js';
import { SealedSecrets1795478400006 } from './1795478400006-sealed-secrets.js';
import { Access1795478400007 } from './1795478400007-access.js';
import { ReceiverAuth1795478400008 } from './1795478400008-receiver-auth.js';
import { Verification1795478400009 } from './1795478400009-verification.js';
import { Edge1795478400010 } from './1795478400010-edge.js';
import { ProtectTables1795478400011 } from './1795478400011-protect-tables.js';
import { QueueIndexes1795564800012 } from './1795564800012-queue-indexes.js';
import { Lists1795651200014 } from './1795651200014-lists.js';
import { ShortLocks1795651200015 } from './1795651200015-short-locks.js';
import { ReplayCounts1795651200018 } from './1795651200018-replay-counts.js';
import { SetAside1795651200019 } from './1795651200019-set-aside.js';
import { ShortChecks1795737600021 } from './1795737600021-short-checks.js';

/** In the order in which they run. An explicit array: a glob would also find what was renamed or half built. */
export const MIGRATIONS = [
  OrdinaryTables1795305600001,
  LargeTables1795305600002,
  Queue1795305600003,
  Boundary1795392000004,
  RowSecurity1795478400005,
  SealedSecrets1795478400006,
  Access1795478400007,
  ReceiverAuth1795478400008,
  Verification1795478400009,
  Edge1795478400010,
  ProtectTables1795478400011,
  QueueIndexes1795564800012,
  Lists1795651200014,
  ShortLocks1795651200015,
  ReplayCounts1795651200018,
  SetAside1795651200019,
  ShortChecks1795737600021,
];
