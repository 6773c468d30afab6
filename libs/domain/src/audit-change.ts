/** Something as it was at one moment, field by field. */
export type AuditSnapshot = object;

/** What an audit row keeps of a change. Null: it was not there before, or is not there after. */
export interface AuditChange {
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}

/** Stands for a value that is there and that nobody may read from the audit log, and for one that is another now. */
export const AUDIT_SET = '(set)';
export const AUDIT_CHANGED = '(changed)';

/**
 * What changed, with everything masked that is not known to be harmless: a field that somebody adds tomorrow is a secret
 * until it is listed. Of a masked object its names are shown, and of each whether it is set or changed: neither values
 * nor anything made of them, because a hash of a short secret is that secret. Of what was there before and after only
 * the fields that differ are kept; a change that changed nothing keeps two empty objects, which says so.
 */
export function auditChange(
  before: AuditSnapshot | null,
  after: AuditSnapshot | null,
  harmless: readonly string[],
): AuditChange {
  const shown = new Set(harmless);
  const was = fieldsOf(before);
  const is = fieldsOf(after);
  const change: AuditChange = { before: before && {}, after: after && {} };
  for (const name of new Set([...was.keys(), ...is.keys()])) {
    const old = was.get(name);
    const now = is.get(name);
    if (before && after && equal(old, now)) continue;
    if (shown.has(name)) {
      if (change.before) change.before[name] = old ?? null;
      if (change.after) change.after[name] = now ?? null;
      continue;
    }
    if (change.before && !isEmpty(old)) change.before[name] = masked(old);
    if (change.after && !isEmpty(now)) change.after[name] = masked(now, old);
  }
  return change;
}

function fieldsOf(snapshot: AuditSnapshot | null): Map<string, unknown> {
  return new Map(Object.entries(snapshot ?? {}).filter(([, value]) => value !== undefined));
}

function masked(value: unknown, old?: unknown): unknown {
  if (!isPlainObject(value)) return mark(value, old);
  const before = isPlainObject(old) ? old : {};
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => !isEmpty(each))
      .map(([name, each]) => [name, mark(each, before[name])]),
  );
}

function mark(value: unknown, old: unknown): string {
  return isEmpty(old) || equal(value, old) ? AUDIT_SET : AUDIT_CHANGED;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || JSON.stringify(value) === '{}';
}

function equal(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
