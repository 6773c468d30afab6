import { METADATA_ENTRIES_MAX, Problem } from '@app/contracts';

/** Names to new texts; null takes a name away, and null for the whole takes them all away. */
export type TextsChange = Record<string, string | null> | null;

/** Merged name by name: what is not mentioned stays. @throws Problem when too many would remain */
export function mergeMetadata(before: Record<string, string>, change: TextsChange): Record<string, string> {
  if (change === null) return {};
  const merged = new Map(Object.entries(before));
  for (const [name, value] of Object.entries(change)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  if (merged.size > METADATA_ENTRIES_MAX)
    throw new Problem('invalid_request', `metadata would have more than ${METADATA_ENTRIES_MAX} entries.`, {
      limit: METADATA_ENTRIES_MAX,
      errors: [
        { pointer: '/metadata', detail: `must have at most ${METADATA_ENTRIES_MAX} entries once merged` },
      ],
    });
  return Object.fromEntries(merged);
}
