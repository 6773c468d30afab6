import { auditChange, type AuditChange } from '@app/domain';
import type { EventTypeRow } from '@app/persistence';

// Not the examples: they are as large as events, and the catalogue shows them.
const HARMLESS = ['description', 'retryPolicy', 'versions'];

export function auditOfEventType(before: EventTypeRow | null, after: EventTypeRow | null): AuditChange {
  return auditChange(before && snapshot(before), after && snapshot(after), HARMLESS);
}

function snapshot({ description, retryPolicy, versions }: EventTypeRow): object {
  return {
    description,
    retryPolicy,
    versions: versions.map((each) => ({ version: each.version, description: each.description })),
    examples: Object.fromEntries(versions.map(({ version, example }) => [version, example])),
  };
}
