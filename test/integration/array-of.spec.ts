/**
 * Promise: what goes to PostgreSQL as the text of an array is read back element by element, whatever strangers wrote.
 * Real: PostgreSQL.
 */
import { arrayOf } from '@app/persistence';
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
