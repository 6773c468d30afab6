import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Problem } from '@app/contracts';
import { isUuid } from '@app/domain';

/** What a list answers. With a next page the answer also gets a Link header (http-hooks.ts). */
export interface Page<T> {
  data: T[];
  /** For `?cursor=`; null on the last page. */
  nextCursor: string | null;
}

/** How much is asked for, and after which key. Ask the repository for `limit + 1` rows and give them to pageOf. */
export interface PageRequest {
  limit: number;
  after?: string;
}

/** Reads `limit` and `cursor` of a query. `isKey` says what a key of this list looks like: an id unless told. */
export function parsePage(
  query: { limit?: unknown; cursor?: unknown },
  isKey: (key: string) => boolean = isUuid,
): PageRequest {
  const limit = query.limit === undefined ? PAGE_SIZE_DEFAULT : Number(query.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_SIZE_MAX)
    throw new Problem('invalid_request', `limit must be a whole number from 1 to ${PAGE_SIZE_MAX}.`, {
      limit: PAGE_SIZE_MAX,
      errors: [{ pointer: 'limit', detail: `must be a whole number from 1 to ${PAGE_SIZE_MAX}` }],
    });
  if (query.cursor === undefined) return { limit };
  return { limit, after: readCursor(query.cursor, isKey) };
}

/** One page of rows that were asked for with `limit + 1`: the one too many only says that there is a next page. */
export function pageOf<Row>(rows: Row[], limit: number, keyOf: (row: Row) => string): Page<Row>;
export function pageOf<Row, T>(
  rows: Row[],
  limit: number,
  keyOf: (row: Row) => string,
  view: (row: Row) => T,
): Page<T>;
export function pageOf<Row, T>(
  rows: Row[],
  limit: number,
  keyOf: (row: Row) => string,
  view?: (row: Row) => T,
): Page<Row | T> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? writeCursor(keyOf(last)) : null;
  return { data: view ? shown.map(view) : shown, nextCursor };
}

/**
 * The same for a list that looks through so many rows a page: one that is not full, even empty, has a next page when the look
 * ended before the list did.
 */
export function pageOfLook<T>(
  { rows, lookedTo }: { rows: { key: string; item: T }[]; lookedTo: string | null },
  limit: number,
): Page<T> {
  const page = pageOf(
    rows,
    limit,
    (row) => row.key,
    (row) => row.item,
  );
  return lookedTo === null ? page : { ...page, nextCursor: writeCursor(lookedTo) };
}

// The version lets a later form tell old cursors from new ones; the text is opaque to everybody else.
const CURSOR_VERSION = 1;

function writeCursor(after: string): string {
  return Buffer.from(JSON.stringify({ v: CURSOR_VERSION, after })).toString('base64url');
}

function readCursor(cursor: unknown, isKey: (key: string) => boolean): string {
  const refused = new Problem('invalid_cursor', 'Use the nextCursor of the page before, as it is.', {
    errors: [{ pointer: 'cursor', detail: 'is not a cursor of this list' }],
  });
  if (typeof cursor !== 'string' || cursor.length > 1024) throw refused;
  let read: unknown;
  try {
    read = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw refused;
  }
  const { v, after } = (read ?? {}) as { v?: unknown; after?: unknown };
  if (v !== CURSOR_VERSION || typeof after !== 'string' || !isKey(after)) throw refused;
  return after;
}
