import { types } from 'pg';

/** A row as the server sends it: each column's text in the order of the SELECT, null where it is NULL. */
export type Cells = readonly (string | null)[];

// What pg itself reads them by, for all that is rare.
const readerOf: (oid: number) => unknown = types.getTypeParser;
const readTimestamp = readerOf(1184) as (text: string) => Date;
const readBytes = readerOf(17) as (text: string) => Buffer;
const readTexts = readerOf(1009) as (text: string) => (string | null)[];
const readListOfBytes = readerOf(1001) as (text: string) => (Buffer | null)[];

const BLANK = 32;

/** A `timestamptz` of a session whose time zone is UTC. */
export function instantOf(text: string): Date {
  // Years of five digits, before Christ and infinity are pg's.
  if (text.charCodeAt(10) !== BLANK || !text.endsWith('+00')) return readTimestamp(text);
  return new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
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
