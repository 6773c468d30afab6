import { checkCustomHeaders } from '@app/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headStart, requestHead } from './request-head.js';

const START = headStart('/hook?a=b', 'hooks.test:8443');

describe('the head of a request', () => {
  it('is the request line, host and connection, what was asked for, and the length', () => {
    expect(requestHead(START.post, { 'webhook-id': 'evt_1', 'X-Name': 'M\xfcller' }, 2)).toBe(
      'POST /hook?a=b HTTP/1.1\r\nhost: hooks.test:8443\r\nconnection: keep-alive\r\n' +
        'webhook-id: evt_1\r\nX-Name: M\xfcller\r\ncontent-length: 2\r\n\r\n',
    );
  });

  it('has no length where there is nothing to have one', () => {
    expect(requestHead(START.options, {}, undefined)).toBe(
      'OPTIONS /hook?a=b HTTP/1.1\r\nhost: hooks.test:8443\r\nconnection: keep-alive\r\n\r\n',
    );
  });

  it.each([
    ...['', 'bad name', 'a:', 'a\r\nb', 'a\0', 'm\xfcller', '\u010a', 'x'.repeat(257)],
    ...['Host', 'content-length', 'Transfer-Encoding', 'connection', 'keep-alive', 'upgrade', 'Expect', 'te'],
  ])('is refused for a name that is none, or not the caller’s: %j', (name) => {
    const head = requestHead(START.post, { [name]: 'x' }, 2);
    expect(head).toMatchObject({ message: expect.stringContaining('cannot be sent') as string });
    expect(JSON.stringify(head)).not.toMatch(/[\r\n\0]/);
  });

  it.each(['a\r\nb: c', 'a\n', '\r', '\0', '\x7f', '\u010a', '\u{1f600}', 5 as unknown as string])(
    'is refused for a value that would be another line, or that latin-1 has not: %j',
    (value) => {
      expect(requestHead(START.post, { 'x-a': value }, 2)).toEqual({
        message: 'the value of the header x-a cannot be sent',
      });
    },
  );

  it.each(['/a b', '/a\r\nx: y', '/\xfc', ''])('is not made of a path that no parsed URL has: %j', (path) => {
    expect(() => headStart(path, 'hooks.test')).toThrow('Bug');
  });

  it('has one line for each header, whatever it is given', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'ab-:\r\n\0 \t\x7f\xfc\u010a'.split('')),
      maxLength: 5,
    });
    fc.assert(
      fc.property(fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }), (headers) => {
        const head = requestHead(START.post, headers, 2);
        if (typeof head !== 'string') return;
        expect(head.split('\r\n')).toHaveLength(6 + Object.keys(headers).length);
        expect(head.replaceAll('\r\n', '')).not.toMatch(/[^\t\x20-\x7e\x80-\xff]/);
      }),
    );
  });

  it('is made of every header that may be saved', () => {
    const name = fc.oneof(
      fc.stringMatching(/^[!-~]{1,12}$/),
      fc.constantFrom('te', 'expect', 'connection', 'upgrade', 'trailer'),
    );
    const value = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(name, value, (n, v) => {
        if (checkCustomHeaders({ [n]: v }).length > 0) return;
        expect(requestHead(START.post, { [n]: v }, 0)).toContain(`\r\n${n}: ${v}\r\n`);
      }),
      { numRuns: 500 },
    );
  });
});
