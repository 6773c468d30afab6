import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAMING_BYTES_MAX,
  HEAD_BYTES_MAX,
  HEAD_LINES_MAX,
  INFORMATIONAL_MAX,
  ResponseParser,
} from './response-parser.js';

interface Read {
  status: number | undefined;
  headers: Record<string, string>;
  body: string;
  ended: boolean;
  keepAlive: boolean;
  /** Bytes of the answer, up to where it ended or broke. */
  used: number;
  broken: string | undefined;
}

/** What is read of an answer that comes in pieces of these sizes, by turns, each in the buffer of the last. */
function read(answer: string, sizes: readonly number[] = [answer.length || 1], closed = false): Read {
  const parser = new ResponseParser();
  const out: Read = {
    status: undefined,
    headers: {},
    body: '',
    ended: false,
    keepAlive: false,
    used: 0,
    broken: undefined,
  };
  const reader = {
    onBegan: () => {},
    onHead: (status: number, headers: readonly string[]) => {
      expect(out.status).toBeUndefined();
      out.status = status;
      for (let i = 0; i < headers.length; i += 2) out.headers[headers[i]] = headers[i + 1];
    },
    onBody: (bytes: Buffer, from: number, to: number) => {
      out.body += bytes.toString('latin1', from, to);
    },
  };
  parser.begin();
  const buffer = Buffer.alloc(Math.max(...sizes) + 7);
  for (let at = 0, n = 0; at < answer.length && parser.broken === undefined && !parser.ended; n++) {
    const size = Math.min(sizes[n % sizes.length], answer.length - at);
    buffer.fill('!').write(answer.slice(at, at + size), 'latin1');
    out.used += parser.push(buffer, size, reader);
    at += size;
  }
  out.ended = parser.ended || (closed && parser.broken === undefined && parser.close());
  out.keepAlive = out.ended && parser.keepAlive;
  out.broken = parser.broken?.message;
  return out;
}

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 });

/** An answer, what it says, and whether the connection may carry another request. */
const ANSWERS: [what: string, answer: string, status: number, body: string, keepAlive: boolean][] = [
  ['a length', `${OK}Content-Length: 5\r\n\r\nhello`, 200, 'hello', true],
  ['a length with zeros and blanks', `${OK}content-length:\t 005 \r\n\r\nhello`, 200, 'hello', true],
  ['no body', `${OK}Content-Length: 0\r\n\r\n`, 200, '', true],
  ['no reason', 'HTTP/1.1 204\r\n\r\n', 204, '', true],
  ['chunks', `${CHUNKED}3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n`, 200, 'hello', true],
  [
    'chunks with extensions and trailers',
    `${CHUNKED}5;a=b;c="d;\\"e";f\r\nhello\r\n000;g\r\nX-Sum: 1\r\nX-B:\r\n\r\n`,
    200,
    'hello',
    true,
  ],
  ['encodings that end chunked', `${OK}transfer-encoding: gzip, Chunked\r\n\r\n0\r\n\r\n`, 200, '', true],
  ['one after 1xx', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nlink: </a>\r\n\r\n${OK}content-length: 1\r\n\r\nx`, 200, 'x', true],
  ['one after blank lines', `\r\n\r\n${OK}content-length: 1\r\n\r\nx`, 200, 'x', true],
  ['a 204 that announces a body', 'HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\n', 204, '', false],
  ['a 304 that announces chunks', 'HTTP/1.1 304 No\r\ntransfer-encoding: chunked\r\n\r\n', 304, '', false],
  ['the end of its connection', `${OK}connection: x, Close\r\ncontent-length: 1\r\n\r\nx`, 200, 'x', false],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx', 200, 'x', false],
  ['HTTP/1.0, kept', 'HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx', 200, 'x', true],
  ['two connection headers', `${OK}connection: keep-alive\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, 200, '', false],
]; // prettier-ignore

describe('an answer is read to exactly its end, however it is cut:', () => {
  it.each(ANSWERS)('%s', (_what, answer, status, body, keepAlive) => {
    const whole = read(`${answer}HTTP/1.1 500 Smuggled\r\n\r\n`);
    expect(whole).toMatchObject({ status, body, keepAlive, ended: true, used: answer.length });
    for (let first = 1; first < answer.length; first++)
      expect(read(answer, [first, answer.length])).toEqual(whole);
    expect(read(answer, [1])).toEqual(whole);
    // No part of it is an answer that has ended.
    for (let length = 0; length < answer.length; length++)
      expect(read(answer.slice(0, length), [3], true).ended).toBe(false);
  });

  it.each([
    ['without a length', `${OK}x-a: b\r\n\r\nhello`],
    ['in another encoding', `${OK}transfer-encoding: chunked, gzip\r\n\r\nhello`],
  ])('a body %s lasts until its connection is closed, which then carries nothing more', (_what, answer) => {
    for (const cut of [[answer.length], [1], [7]]) {
      expect(read(answer, cut).ended).toBe(false);
      expect(read(answer, cut, true)).toMatchObject({ ended: true, body: 'hello', keepAlive: false });
    }
  });

  it('names are in lower case; values are as they were, in latin-1', () => {
    const answer = `${OK}X-Name:  M\xfcller \r\nX-Empty:\r\nX-Tab: a\tb\r\nContent-Length: 0\r\n\r\n`;
    for (const cut of [[answer.length], [1], [5, 3]])
      expect(read(answer, cut).headers).toEqual({
        'x-name': 'M\xfcller ',
        'x-empty': '',
        'x-tab': 'a\tb',
        'content-length': '0',
      });
  });
});

describe('what is not HTTP/1.1 is no answer:', () => {
  it.each([
    'SSH-2.0-OpenSSH_9.2\r\n',
    '<html>',
    'http/1.1 200 OK\r\n',
    'HTTP/1.2 200 OK\r\n',
    'HTTP/11 200 OK\r\n',
    'HTTP/1.1  200 OK\r\n',
    'HTTP/1.1 20 OK\r\n',
    'HTTP/1.1 2000 OK\r\n',
    'HTTP/1.1 200\tOK\r\n',
    'HTTP/1.1 099 No\r\n\r\n',
    'HTTP/1.1 200 OK\n',
    'HTTP/1.1 200 OK\rX',
    `${OK} folded: x\r\n`,
    `${OK}x-a: b\r\n folded\r\n`,
    `${OK}x-a : b\r\n`,
    `${OK}x-a\r\n`,
    `${OK}: b\r\n`,
    `${OK}x-a: b\n`,
    `${OK}x-a: b\rc\r\n`,
    `${OK}x-a: b\0\r\n`,
    `${OK}x-a: b\r\n\rx`,
    `${OK}content-length: \r\n\r\n`,
    `${OK}content-length: +1\r\n\r\n`,
    `${OK}content-length: 1,1\r\n\r\n`,
    `${OK}content-length: 0x1\r\n\r\n`,
    `${OK}content-length: 99999999999999999999\r\n\r\n`,
    `${OK}content-length: 1\r\ncontent-length: 1\r\n\r\n`,
    `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\n`,
    `${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`,
    `${OK}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n`,
    'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    'HTTP/1.1 101 Switching\r\n\r\n',
  ])('%j', (head) => {
    const whole = read(head);
    expect(whole).toMatchObject({ status: undefined, ended: false, broken: expect.any(String) as string });
    expect(read(head, [1])).toEqual(whole);
  });

  it.each([
    'x\r\n',
    '\r\n',
    '-1\r\n',
    '1 \r\nx',
    '1\nx',
    '1;\r\n',
    '1;a b\r\n',
    '1;a="b\r\n',
    '1;a="b"c\r\n',
    '1\r\nxx',
    '1\r\nx\n',
    '1\r\nx\r\r',
    'fffffffffffffffff\r\n',
    '0\r\nx y: z\r\n',
    '0\r\n\n',
    '0\r\n\rx',
  ])('a status is one, but a body in such chunks breaks off: %j', (chunks) => {
    const whole = read(CHUNKED + chunks);
    expect(whole).toMatchObject({ status: 200, ended: false, broken: 'not HTTP/1.1' });
    expect(read(CHUNKED + chunks, [1])).toEqual(whole);
  });
});

describe('what is within bounds is read whole, however it is cut', () => {
  it.each([
    ['a body of lines', `${OK}content-length: 6000\r\n\r\n${'\n'.repeat(6000)}`],
    ['a large body', `${OK}content-length: 300000\r\n\r\n${'x'.repeat(300_000)}`],
    ['as many headers as may be', `${OK}content-length: 0\r\n${'a: b\r\n'.repeat(HEAD_LINES_MAX - 2)}\r\n`],
    [
      'as long a head as may be',
      `${OK}content-length: 0\r\na: ${'b'.repeat(HEAD_BYTES_MAX - OK.length - 26)}\r\n\r\n`,
    ],
    [
      '1xx before it',
      `${'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(INFORMATIONAL_MAX)}HTTP/1.1 204 No\r\n\r\n`,
    ],
    ['chunks of lines', `${CHUNKED}1f40\r\n${'\r\n'.repeat(4000)}\r\n2;a=b\r\nok\r\n0\r\nx-sum: 1\r\n\r\n`],
    ['a body byte by byte', `${CHUNKED}${'1\r\nx\r\n'.repeat(16_380)}0\r\n\r\n`],
  ])('%s', (_what, answer) => {
    const whole = read(answer);
    expect(whole).toMatchObject({ ended: true, broken: undefined, used: answer.length });
    fc.assert(
      fc.property(sizes, (cut) => {
        expect(read(answer, cut)).toEqual(whole);
      }),
      { numRuns: 20 },
    );
  });
});

describe('what is beyond is broken at the same byte, however it comes', () => {
  it.each([
    ['headers', OK + 'a:\r\n'.repeat(20_000), `more than ${HEAD_LINES_MAX} headers`],
    ['one header', `${OK}a: ${'a'.repeat(20_000)}`, `more than ${HEAD_BYTES_MAX} bytes of headers`],
    ['a reason', `HTTP/1.1 200 ${'x'.repeat(20_000)}`, `more than ${HEAD_BYTES_MAX} bytes of headers`],
    ['blank lines before the status', '\r\n'.repeat(20_000), `more than ${HEAD_BYTES_MAX} bytes of headers`],
    ['1xx', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2000), 'endless 1xx responses'],
    ['trailers', `${CHUNKED}0\r\n${'a:\r\n'.repeat(20_000)}`, `more than ${HEAD_LINES_MAX} headers`],
    [
      'chunk extensions',
      `${CHUNKED}${`1;${'x'.repeat(8000)}\r\na\r\n`.repeat(20)}`,
      `more than ${FRAMING_BYTES_MAX} bytes around chunks`,
    ],
    [
      'one chunk size',
      `${CHUNKED}${'0'.repeat(200_000)}`,
      `more than ${FRAMING_BYTES_MAX} bytes around chunks`,
    ],
  ])('%s', (_what, answer, broken) => {
    const whole = read(answer);
    expect(whole).toMatchObject({ ended: false, broken });
    expect(whole.used).toBeLessThanOrEqual(HEAD_BYTES_MAX + FRAMING_BYTES_MAX);
    fc.assert(
      fc.property(sizes, (cut) => {
        expect(read(answer, cut)).toEqual(whole);
      }),
      { numRuns: 20 },
    );
  });
});

describe('of an answer that was tampered with', () => {
  const tampered = fc
    .tuple(
      fc.constantFrom(...ANSWERS.map(([, answer]) => answer)),
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.constantFrom('set', 'insert', 'delete', 'repeat'),
          fc.constantFrom(...'\r\n\0 \t:;,09aAf"H'.split(''), '\r\n', '\r\n\r\n', '\xff', OK),
        ),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([answer, changes]) => {
      let text = answer;
      for (const [where, how, what] of changes) {
        const at = where % (text.length + 1);
        const rest = how === 'insert' ? at : how === 'repeat' ? Math.max(0, at - 9) : at + 1;
        text = text.slice(0, at) + (how === 'delete' || how === 'repeat' ? '' : what) + text.slice(rest);
      }
      return text;
    });

  it('each cut reads the same, and no status that did not stand there', () => {
    fc.assert(
      fc.property(tampered, sizes, fc.boolean(), (answer, cut, closed) => {
        const whole = read(answer, [answer.length || 1], closed);
        expect(read(answer, cut, closed)).toEqual(whole);
        expect(read(answer, [1], closed)).toEqual(whole);
        if (whole.status !== undefined) {
          expect(answer.slice(0, whole.used)).toMatch(
            new RegExp(`(?:^|\\r|\\n)HTTP/\\d\\.\\d ${whole.status}[ \\r]`),
          );
        }
        expect(whole.ended && whole.broken !== undefined).toBe(false);
        expect(answer.slice(0, whole.used)).toContain(whole.body.slice(0, 3));
      }),
      { numRuns: 5000, seed: 20_261_127 },
    );
  });
});
