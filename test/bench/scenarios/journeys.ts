import type { Arrivals } from '../../support/receiver/journal.js';

/** How long events were on their way, to the first request of each; a repeat is a duplicate, not a late arrival. */
export function journeys(calledMs: ReadonlyMap<string, number>, { ids, monotonicMs }: Arrivals): number[] {
  const seen = new Set<string>();
  const spans: number[] = [];
  ids.forEach((id, i) => {
    const from = calledMs.get(id);
    if (from === undefined || seen.has(id)) return;
    seen.add(id);
    spans.push(monotonicMs[i] - from);
  });
  return spans;
}
