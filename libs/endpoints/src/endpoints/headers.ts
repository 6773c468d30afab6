import type { TextsChange } from '../metadata.js';

/** What a header's value is shown as: it is often a credential. */
export const MASK = '••••••';

export function maskHeaders(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, MASK]));
}

/** Merged name by name, whatever their case. A value that is the mask means the one we have: it was read and sent back. */
export function mergeHeaders(before: Record<string, string>, change: TextsChange): Record<string, string> {
  if (change === null) return {};
  const merged = new Map(Object.entries(before));
  for (const [name, value] of Object.entries(change)) {
    const known = [...merged.keys()].find((each) => each.toLowerCase() === name.toLowerCase());
    if (value === MASK && known !== undefined) continue;
    if (known !== undefined) merged.delete(known);
    if (value !== null) merged.set(name, value);
  }
  return Object.fromEntries(merged);
}
