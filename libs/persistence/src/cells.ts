import { types } from 'pg';

/** A row as the server sends it: each column's text in the order of the SELECT, null where it is NULL. */
export type Cells = readonly (string | null)[];

// What pg itself reads them by, for all that is rare.
const readerOf: (oid: number) => unknown = types.getTypeParser;
const readTimestamp = readerOf(1184) as (text: string) => Date;
const readBytes = readerOf(17) as (text: string) => Buffer;
const readTexts = readerOf(1009) as (text: string) => (string | null)[];
const readListOfBytes = readerOf(1001) as (text: string) => (Buffer | null)[];

const ZERO = '0'.charCodeAt(0);
const DOT = '.'.charCodeAt(0);
/** `2026-11-27 14:25:34` */
const SECONDS_LENGTH = 19;

/** A `timestamptz(3)` of a session whose time zone is UTC: digit by digit, because each delivery has three. */
export function instantOf(text: string): Date {
  const year = numberAt(text, 0, 4);
  // Before Christ, in years of five digits and with another zone they are pg's to read; Date.UTC takes 99 for 1999.
  if (text.charAt(10) !== ' ' || !text.endsWith('+00') || year < 100) return readTimestamp(text);
  const digits = text.charCodeAt(SECONDS_LENGTH) === DOT ? text.length - SECONDS_LENGTH - '.+00'.length : 0;
  const fraction = numberAt(text, SECONDS_LENGTH + 1, digits) * 10 ** (3 - digits);
  const seconds = numberAt(text, 17, 2);
  return new Date(
    Date.UTC(
      year,
      numberAt(text, 5, 2) - 1,
      numberAt(text, 8, 2),
      numberAt(text, 11, 2),
      numberAt(text, 14, 2),
      seconds,
      fraction,
    ),
  );
}

function numberAt(text: string, from: number, digits: number): number {
  let number = 0;
  for (let at = from; at < from + digits; at++) number = number * 10 + text.charCodeAt(at) - ZERO;
  return number;
}

export function bytesOf(text: string | null): Buffer | null {
  return text === null ? null : readBytes(text);
}

/** Of `text[]`, `uuid[]` and their like; empty for NULL, which `array_agg` makes of nothing. */
export function textsOf(text: string | null): (string | null)[] {
  return text === null ? [] : readTexts(text);
}

/** Of `bytea[]`. */
export function listOfBytes(text: string | null): (Buffer | null)[] {
  return text === null ? [] : readListOfBytes(text);
}

/** Of `jsonb`, whose columns have CHECKs for what is in them. */
export function jsonOf(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}

export function isTrue(text: string | null): boolean {
  return text === 't';
}
