import { describe, expect, it } from 'vitest';
import { readIdempotencyKey } from './idempotency-key.js';

describe('readIdempotencyKey', () => {
  it.each([
    [undefined, undefined],
    ['abc', 'abc'],
    ['"abc"', 'abc'],
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['a"b', 'a"b'],
    ['x'.repeat(255), 'x'.repeat(255)],
  ])('reads %j', (header, key) => expect(readIdempotencyKey(header)).toBe(key));

  it.each(['', '""', '"', '"a', '"a"b', '"a\\b"', 'a b', '"a b"', 'é', 'a\tb', 'x'.repeat(256), ['a', 'b']])(
    'refuses %j',
    (header) => expect(() => readIdempotencyKey(header)).toThrow(/invalid_idempotency_key/),
  );
});
