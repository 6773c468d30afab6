import { auditChange, type AuditChange } from '@app/domain';
import type { SubscriberEntity } from '@app/persistence';

const HARMLESS = ['name', 'externalId', 'metadata'];

export function auditOfSubscriber(
  before: SubscriberEntity | null,
  after: SubscriberEntity | null,
): AuditChange {
  return auditChange(before && snapshot(before), after && snapshot(after), HARMLESS);
}

function snapshot({ name, externalId, metadata }: SubscriberEntity): object {
  return { name, externalId, metadata };
}
