/** Long enough for any catalogue seen in the wild, short enough for an index and a metric of ours. */
export const EVENT_TYPE_LENGTH_MAX = 128;

const NAME = /^[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*$/;

/** `invoice.paid`: segments of letters, digits, `_` and `-`, joined by single dots. Case matters. */
export function isEventTypeName(text: string): boolean {
  return text.length <= EVENT_TYPE_LENGTH_MAX && NAME.test(text);
}

/** A name (exactly that type), a name and `.*` (one or more further segments), or `*` (every type). */
export function isEventTypePattern(text: string): boolean {
  if (text === '*') return true;
  if (text.length > EVENT_TYPE_LENGTH_MAX) return false;
  return NAME.test(text.endsWith('.*') ? text.slice(0, -2) : text);
}

/** Whether any of the patterns names the type. No pattern means no event: an empty filter must not mean everything. */
export function matchesAny(patterns: readonly string[], type: string): boolean {
  for (const pattern of patterns) {
    if (pattern === '*' || pattern === type) return true;
    // `invoice.*` keeps its dot: `invoices.paid` and `invoice` itself do not match. Names end in a segment, so whatever
    // follows the dot is at least one.
    if (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1))) return true;
  }
  return false;
}
