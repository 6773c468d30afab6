import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAMING_BYTES_MAX,
  HEAD_BYTES_MAX,
  HEAD_LINES_MAX,
  INFORMATIONAL_MAX,
  ResponseBounds,
} from './response-bounds.js';

/** What is passed on of an answer that comes in pieces of these sizes, by turns. */
function passed(answer: string, sizes: readonly number[] = [answer.length]): string {
  const bounds = new ResponseBounds();
  bounds.begin();
  const bytes = Buffer.from(answer, 'latin1');
  let out = '';
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const piece = bytes.subarray(at, (at += sizes[n % sizes.length]));
    const some = bounds.passed(Buffer.from(piece));
    out += some.toString('latin1');
    if (some.length < piece.length) break;
  }
  return out;
}

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 });

describe('what is within bounds passes as it is, however it is cut', () => {
  it.each([
    ['a body of lines', `${OK}content-length: 6000\r\n\r\n${'\n'.repeat(6000)}`],
    ['a large body', `${OK}content-length: 300000\r\n\r\n${'x'.repeat(300_000)}`],
    ['as many headers as may be', `${OK}${'a: b\r\n'.repeat(HEAD_LINES_MAX - 1)}\r\n`],
    [
      '1xx before it',
      `${'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(INFORMATIONAL_MAX)}${OK}\r\n`,
    ],
    ['chunks of lines', `${CHUNKED}1f40\r\n${'\r\n'.repeat(4000)}\r\n2;a=b\r\nok\r\n0\r\nx-sum: 1\r\n\r\n`],
    ['a body byte by byte', `${CHUNKED}${'1\r\nx\r\n'.repeat(16_384)}0\r\n\r\n`],
    ['another encoding of that name', `${OK}transfer-encoding: gzip\r\n\r\n${'not a size\n'.repeat(9)}`],
  ])('%s', (_what, answer) => {
    expect(passed(answer)).toBe(answer);
    fc.assert(
      fc.property(sizes, (cut) => passed(answer, cut) === answer),
      { numRuns: 20 },
    );
  });
});

describe('what is beyond is cut at the same byte, however it comes', () => {
  it.each([
    ['headers', OK + 'a:\r\n'.repeat(20_000)],
    ['one header', `${OK}a: ${'a'.repeat(20_000)}`],
    ['no line at all', 'x'.repeat(20_000)],
    ['blank lines before the status', '\r\n'.repeat(20_000)],
    ['1xx', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2000)],
    ['trailers', `${CHUNKED}0\r\n${'a:\r\n'.repeat(20_000)}`],
    ['chunk extensions', `${CHUNKED}${`1;${'x'.repeat(8000)}\r\na\r\n`.repeat(20)}`],
    ['one chunk size', `${CHUNKED}${'0'.repeat(200_000)}`],
  ])('%s', (_what, answer) => {
    const whole = passed(answer);
    expect(whole.length).toBeLessThan(answer.length);
    expect(whole.length).toBeLessThanOrEqual(HEAD_BYTES_MAX + FRAMING_BYTES_MAX);
    expect(answer.startsWith(whole)).toBe(true);
    fc.assert(
      fc.property(sizes, (cut) => passed(answer, cut) === whole),
      { numRuns: 20 },
    );
  });
});

describe('an unasked 100 Continue', () => {
  it('becomes a 102, however it is cut', () => {
    const rest = `${OK}content-length: 22\r\n\r\nHTTP/1.1 100 Continue.`;
    fc.assert(
      fc.property(sizes, (cut) => {
        expect(passed(`HTTP/1.1 100 Continue\r\n\r\n${rest}`, cut)).toBe(
          `HTTP/1.1 102 Continue\r\n\r\n${rest}`,
        );
      }),
      { numRuns: 50 },
    );
  });
});
