import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseRetryAfter } from './retry-after.js';

const NOW = Date.parse('1994-11-06T08:49:37Z');

it.each([
  ['0', 0],
  ['120', 120],
  [' 120\t', 120],
  ['0007', 7],
  ['86400', 86_400],
  ['86401', 86_400],
  ['9'.repeat(60), 86_400],
  // The three forms of an HTTP-date, a minute later; a wrong day of the week is forgiven.
  ['Sun, 06 Nov 1994 08:50:37 GMT', 60],
  ['Mon, 06 Nov 1994 08:50:37 GMT', 60],
  ['Sunday, 06-Nov-94 08:50:37 GMT', 60],
  ['Sun Nov  6 08:50:37 1994', 60],
  ['Sun, 06 Nov 1994 23:59:60 GMT', 54_623],
  // The past; far away.
  ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
  ['Sun, 06 Nov 1994 08:49:36 GMT', 0],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['Thu, 01 Jan 0001 00:00:00 GMT', 0],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400],
  // Two digits: at most 50 years ahead, else the century before.
  ['Sunday, 06-Nov-44 08:49:37 GMT', 86_400],
  ['Sunday, 06-Nov-45 08:49:37 GMT', 0],
])('%j is %d s', (text, expected) => expect(parseRetryAfter(text, NOW)).toBe(expected));

it.each([
  ...[undefined, '', ' ', '-1', '+1', '1.5', '1e3', '0x10', '5, 10', '5 s', 'soon', 'NaN', 'Infinity', '٣'],
  ...['1994-11-06T08:50:37Z', 'Nov 6 1994', 'Sun, 6 Nov 1994 08:50:37 GMT', 'Sun, 06 Nov 1994 08:50:37'],
  ...['Sun, 06 Nov 1994 08:50:37 +0100', 'Sun, 06 nov 1994 08:50:37 GMT', 'Sun, 06 Nov 1994 24:50:37 GMT'],
  ...['Sun, 06 Nov 1994 08:60:37 GMT', 'Sun, 31 Feb 1994 08:50:37 GMT', 'Sun, 00 Jan 1994 08:50:37 GMT'],
  ...['Sunday, 06-Nov-1994 08:50:37 GMT', 'Sun Nov 06 08:50:37 94', '1\n2', '9'.repeat(65)],
])('%j says nothing', (text) => expect(parseRetryAfter(text, NOW)).toBeNull());

it('is never early: a started second counts whole', () => {
  expect(parseRetryAfter('Sun, 06 Nov 1994 08:49:38 GMT', NOW - 1)).toBe(2);
  expect(parseRetryAfter('Sun, 06 Nov 1994 08:49:38 GMT', NOW + 1)).toBe(1);
});

it('reads what JavaScript writes, and answers for anything within its bounds', () => {
  fc.assert(
    fc.property(fc.integer({ min: -3600, max: 90_000 }), (seconds) => {
      const text = new Date(NOW + seconds * 1000).toUTCString();
      expect(parseRetryAfter(text, NOW)).toBe(Math.min(Math.max(seconds, 0), 86_400));
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const seconds = parseRetryAfter(text, NOW);
      expect(seconds === null || (seconds >= 0 && seconds <= 86_400)).toBe(true);
    }),
  );
});
