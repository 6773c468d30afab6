import { types } from 'pg';

/** A row as the server sends it: each column's text in the order of the SELECT, null where it is NULL. */
export type Cells = readonly (string | null)[];

// What pg itself would read them by, for the rare ones.
const TIMESTAMPTZ = 1184;
const BYTEA = 17;
const readTimestamp = types.getTypeParser(TIMESTAMPTZ) as (text: string) => Date;
const readBytes = types.getTypeParser(BYTEA) as (text: string) => Buffer;

const BLANK = 32;

/** A `timestamptz` of a session whose time zone is UTC. */
export function instantOf(text: string): Date {
  // Years of five digits, before Christ and infinity are pg's.
  if (text.charCodeAt(10) !== BLANK || !text.endsWith('+00')) return readTimestamp(text);
  return new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`);
}

export function bytesOf(text: string): Buffer {
  return readBytes(text);
}

export function isTrue(text: string | null): boolean {
  return text === 't';
}
