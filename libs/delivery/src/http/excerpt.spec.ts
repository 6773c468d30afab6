import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BASE64_PREFIX, excerpt } from './excerpt.js';

describe('excerpt', () => {
  it.each([
    ['nothing', Buffer.alloc(0), ''],
    ['text', Buffer.from('grüße 😀'), 'grüße 😀'],
    ['NUL', Buffer.from('a\0b\0'), 'a\u2400b\u2400'],
    ['not UTF-8', Buffer.from([0x61, 0xff]), `${BASE64_PREFIX}Yf8=`],
    ['a lone surrogate', Buffer.from([0xed, 0xa0, 0x80]), `${BASE64_PREFIX}7aCA`],
    ['overlong', Buffer.from([0xc0, 0x80]), `${BASE64_PREFIX}wIA=`],
  ])('%s', (_name, bytes, text) => expect(excerpt(bytes)).toBe(text));

  it('forgives a character that our own limit cut in two, and only that', () => {
    const text = 'ab€😀é';
    const bytes = Buffer.from(text);
    for (let length = 0; length <= bytes.length; length++) {
      const shown = excerpt(bytes.subarray(0, length), true);
      expect(text.startsWith(shown)).toBe(true);
      expect(Buffer.byteLength(shown)).toBeGreaterThan(length - 4);
    }
    expect(excerpt(bytes.subarray(0, 3), false)).toContain(BASE64_PREFIX);
    expect(excerpt(Buffer.from([0xff, 0xe2, 0x82]), true)).toContain(BASE64_PREFIX);
    expect(excerpt(Buffer.from([0x80, 0x80, 0x80, 0x80]), true)).toContain(BASE64_PREFIX);
  });

  it('is always what PostgreSQL can hold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, truncated) => {
        const text = excerpt(bytes, truncated);
        expect(text).not.toContain('\0');
        expect(text.isWellFormed()).toBe(true);
      }),
    );
  });
});
