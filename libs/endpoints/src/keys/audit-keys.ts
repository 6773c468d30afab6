import { auditChange, toPublicId, type AuditChange } from '@app/domain';
import type { ListedKey, ListedToken } from '@app/persistence';

const KEY_FIELDS = [
  'name',
  'scopes',
  'subscriber',
  'allowedIps',
  'expiresAt',
  'revokedAt',
  'rotatedAt',
  'previousEndsAt',
];
const TOKEN_FIELDS = ['mode', 'description', 'expiresAt', 'revokedAt'];

/** What the audit log keeps of a change to a key. Its text is in no row that could be read here. */
export function auditOfKey(before: ListedKey | null, after: ListedKey | null): AuditChange {
  return auditChange(before && keySnapshot(before), after && keySnapshot(after), KEY_FIELDS);
}

export function auditOfToken(before: ListedToken | null, after: ListedToken | null): AuditChange {
  return auditChange(before && tokenSnapshot(before), after && tokenSnapshot(after), TOKEN_FIELDS);
}

function keySnapshot(key: ListedKey): object {
  const { name, scopes, networks: allowedIps, expiresAt, revokedAt, rotatedAt, previousEndsAt } = key;
  const subscriber = key.subscriberId && toPublicId('sub', key.subscriberId);
  return { name, scopes, subscriber, allowedIps, expiresAt, revokedAt, rotatedAt, previousEndsAt };
}

function tokenSnapshot({ mode, description, expiresAt, revokedAt }: ListedToken): object {
  return { mode, description, expiresAt, revokedAt };
}
