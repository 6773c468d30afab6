/**
 * Promise: what goes to PostgreSQL as the text of an array is read back element by element, whatever strangers wrote; and
 * a row that goes there in one form is the row that goes there in the other.
 * Real: PostgreSQL.
 */
import { arrayOf, given } from '@app/persistence';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase } from '../support/database.js';
import { openTables, type Tables } from '../support/tables.js';

let tables: Tables;
let drop: () => Promise<void>;
beforeAll(async () => {
  const database = await createTestDatabase();
  drop = database.drop;
  tables = openTables(database.url);
});
afterAll(async () => {
  await tables.close();
  await drop();
});

const read = async (type: string, elements: Parameters<typeof arrayOf>[0]): Promise<unknown[]> => {
  const rows = await tables.rows<{ x: unknown }>(
    `SELECT i.x FROM unnest($1::int[], $2::${type}[]) WITH ORDINALITY AS i (at, x, n) ORDER BY i.n`,
    [arrayOf(elements.map((_, at) => at)), arrayOf(elements)],
  );
  return rows.map(({ x }) => x);
};

it('texts', async () => {
  const known = [
    '',
    ' ',
    'NULL',
    'null',
    '"',
    '\\',
    '\\"',
    '{a,b}',
    'a,b',
    "'",
    '\n',
    '{',
    '}',
    'é🦊',
    'http://a.example/b?c=d',
    '{"a":"b"}',
    '{"a":"b"}',
    '\n',
    '%s',
    null,
    undefined,
  ];
  expect(await read('text', known)).toEqual(known.map((each) => each ?? null));
  const text = fc
    .string({ unit: 'binary', maxLength: 40 })
    .map((each) => each.replaceAll('\0', '').toWellFormed());
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(text), { minLength: 1, maxLength: 20 }), async (some) => {
      // With some twice in a row, as most of a group's are.
      const elements = some.flatMap((each, at) => (at % 3 === 0 ? [each, each] : [each]));
      expect(await read('text', elements)).toEqual(elements);
    }),
    { numRuns: 200, seed: 5 },
  );
});

it('numbers, booleans and bytes; nulls alone are a NULL that unnest pads', async () => {
  expect(await read('float8', [0, 0, -1.5, 1e-7, 1.7e12, null])).toEqual([0, 0, -1.5, 1e-7, 1.7e12, null]);
  expect(await read('bool', [true, false, null])).toEqual([true, false, null]);
  expect(await read('bytea', [Buffer.from([0, 255, 92]), null])).toEqual([Buffer.from([0, 255, 92]), null]);
  expect(arrayOf([null, undefined])).toBeNull();
  expect(await read('text', [null, null])).toEqual([null, null]);
});

it('one row is given as the same row among many', async () => {
  interface Row {
    id: number;
    text: string | null;
    ms: number | null;
    yes: boolean | null;
    bytes: Buffer | null;
    at: Date;
  }
  const GIVEN = given<Row>(
    [
      ['id', 'int', (row) => row.id],
      ['text', 'text', (row) => row.text],
      ['ms', 'real', (row) => row.ms],
      ['yes', 'bool', (row) => row.yes],
      ['bytes', 'bytea', (row) => row.bytes],
      ['at', 'timestamptz', (row) => row.at.toISOString()],
    ],
    2,
  );
  expect(GIVEN.next).toBe(8);
  const read = (form: 'one' | 'many', rows: Row[]) =>
    tables.rows<Row>(`SELECT i.* FROM ${GIVEN.sql[form]} i WHERE $1 ORDER BY i.id`, [
      true,
      ...GIVEN.values(form, rows),
    ]);
  const rows: Row[] = [
    { id: 1, text: 'a "b" \\c', ms: 1.5, yes: false, bytes: Buffer.from([0, 92, 255]), at: new Date(1e12) },
    { id: 2, text: '', ms: 0, yes: true, bytes: Buffer.alloc(0), at: new Date(0) },
    { id: 3, text: 'NULL', ms: null, yes: null, bytes: null, at: new Date(123) },
    { id: 4, text: null, ms: null, yes: null, bytes: null, at: new Date(123) },
  ];
  expect(await read('many', rows)).toEqual(rows);
  for (const row of rows) expect(await read('one', [row])).toEqual([row]);
  expect(await read('many', [])).toEqual([]);
  expect(await read('one', [])).toEqual([]);
  // None of them is dropped.
  expect(() => GIVEN.values('one', rows)).toThrow('4 rows');
});
