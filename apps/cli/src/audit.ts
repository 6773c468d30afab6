import { userInfo } from 'node:os';
import { newId, systemClock, systemRandom } from '@app/domain';
import { auditRepository, type AuditRecord, type Tx } from '@app/persistence';

/** The line of the audit log: what is done here is done by a user of this machine, past the API. */
export function audit(
  tx: Tx,
  act: Pick<AuditRecord, 'action' | 'object' | 'subscriberId' | 'before' | 'after'>,
): Promise<void> {
  return auditRepository.insert(tx, {
    id: newId(systemClock.now().getTime(), systemRandom),
    actor: { kind: 'cli', id: userName() },
    route: null,
    ip: null,
    requestId: null,
    ...act,
  });
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user of a container that no file names.
    return String(process.getuid?.() ?? 'unknown');
  }
}
