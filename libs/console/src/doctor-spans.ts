import { EVENT_ID_AGE_HOURS_MAX } from '@app/contracts';
import { uuidFloor } from '@app/domain';
import type { HistorySpan } from '@app/persistence';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
// Some seconds of hashing at most; a larger day is looked at in pieces.
const ROWS_PER_SPAN = 500_000;
const PIECES_MAX = 288;

/**
 * Days from tomorrow (an event's id may be minutes ahead) back to the first gap, in pieces of a bounded size. Beyond a
 * gap lies what is kept for a delivery that is still pending: its neighbours are missing.
 */
export function spansOf(days: { day: string; rows: number }[], now: Date): HistorySpan[] {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const rowsByStart = new Map(days.map(({ day, rows }) => [startOf(day), rows]));
  const run: { start: number; rows: number }[] = [];
  for (let start = today + DAY_MS; start >= today || rowsByStart.has(start); start -= DAY_MS)
    run.push({ start, rows: rowsByStart.get(start) ?? 0 });
  // Deliveries of the oldest day's first minutes, or their events, may be of the day before.
  const complete = uuidFloor(run.at(-1)!.start + HOUR_MS);
  const younger = (EVENT_ID_AGE_HOURS_MAX + 1) * HOUR_MS;
  return run.flatMap(({ start, rows }) => {
    const pieces = Math.min(Math.max(Math.ceil(rows / ROWS_PER_SPAN), 1), PIECES_MAX);
    return Array.from({ length: pieces }, (_, at): HistorySpan => {
      const low = start + Math.floor((at * DAY_MS) / pieces);
      const high = start + Math.floor(((at + 1) * DAY_MS) / pieces);
      return {
        low: uuidFloor(low),
        high: uuidFloor(high),
        complete,
        deliveriesLow: uuidFloor(low - HOUR_MS),
        deliveriesHigh: uuidFloor(high + younger),
        eventsLow: uuidFloor(low - younger),
        eventsHigh: uuidFloor(high + HOUR_MS),
      };
    });
  });
}

function startOf(day: string): number {
  return Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6, 8)));
}
