import { types } from 'pg';
import { expect, it } from 'vitest';
import { instantOf } from './cells.js';

const TIMESTAMPTZ = 1184;

it.each([
  '2026-11-27 14:25:34.123+00',
  '2026-11-27 14:25:34.1+00',
  '2026-11-27 14:25:34.05+00',
  '2026-01-02 03:04:05.067891+00',
  '2024-02-29 00:00:00+00',
  '2026-02-28 23:59:59+00',
  '1969-12-31 23:59:59.999+00',
  '0001-01-01 00:00:00+00',
  '9999-12-31 23:59:59.999+00',
  '10000-01-01 00:00:00+00',
  '0044-03-15 12:00:00+00 BC',
  '2026-11-27 14:25:34.123+05:30',
])('%s is the instant that pg reads', (text) => {
  const read = types.getTypeParser(TIMESTAMPTZ) as (text: string) => Date;
  expect(instantOf(text)).toEqual(read(text));
  expect(instantOf(text).getTime()).not.toBeNaN();
});
