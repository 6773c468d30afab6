import type { Socket } from 'node:net';
import type { FailureClass } from '@app/domain';

// What common servers send at most. All heads of an answer together: its 1xx, its own, its trailers.
export const HEAD_BYTES_MAX = 16_384;
// undici makes two objects of each header as it comes, and keeps them until the head ends: 16 KB of `a:` would be a megabyte,
// and 200 receivers that leave them unended would hold 200. Real heads have 10 to 40 lines.
export const HEAD_LINES_MAX = 256;
// 100, 102 and 103 come once or twice. More is somebody spending our processor until the deadline.
export const INFORMATIONAL_MAX = 100;
// Sizes and extensions of chunks. Six bytes for each of the 16 KB of a body that comes byte by byte, and no more.
export const FRAMING_BYTES_MAX = 98_304;

/** The answer is out of bounds. `failure` is the attempt's class when no status had come yet. */
export class ResponseFlood extends Error {
  constructor(
    readonly failure: FailureClass,
    message: string,
  ) {
    super(message);
  }
}

type State =
  'status' | 'headers' | 'body' | 'chunk-size' | 'chunk-extension' | 'chunk-data' | 'chunk-end' | 'trailers';

const CR = 0x0d;
const LF = 0x0a;
const TRANSFER_ENCODING = Buffer.from('transfer-encoding');

/**
 * Counts what undici's parser does not, before it sees it: lines, heads, and what is written around chunks. It judges a chunk
 * of the socket only after parsing all of it, counts names and values but no line, and chunk extensions not at all (measured:
 * 200 floods at once left up to 300 MB). Passes on everything up to the bound, so that a status that came is known however
 * the bytes were cut. Where it reads HTTP otherwise than the parser does, the parser finds an error.
 *
 * Makes a 102 of each unasked `100 Continue`: undici ends the connection over one, though RFC 9110 15.2 lets any server send it.
 */
export class ResponseBounds {
  private state: State = 'body';
  private flood: ResponseFlood | undefined;
  private headBytes = 0;
  private lines = 0;
  private informational = 0;
  private framingBytes = 0;
  /** Of the line that is being read, without its end. */
  private lineBytes = 0;
  private status = 0;
  private matched = 0;
  private chunked = false;
  private chunkLeft = 0;

  /** undici takes all it reads from `read`. Node calls it with 0 to fill its buffer. */
  watch(socket: Socket): void {
    this.begin();
    const read = socket.read.bind(socket);
    socket.read = (size?: number): Buffer | null => {
      if (this.flood !== undefined) {
        socket.destroy(this.flood);
        return null;
      }
      const chunk = read(size) as Buffer | null;
      return chunk === null || this.state === 'body' ? chunk : this.passed(chunk);
    };
  }

  /** A request goes out: what comes next is the head of its answer. */
  begin(): void {
    this.headBytes = this.informational = this.framingBytes = 0;
    this.flood = undefined;
    this.beginHead();
  }

  private beginHead(): void {
    this.state = 'status';
    this.lines = this.lineBytes = this.status = this.matched = 0;
    this.chunked = false;
  }

  /** The chunk, or as much of it as is within bounds. */
  passed(chunk: Buffer): Buffer {
    for (let at = 0; at < chunk.length; at++) {
      if (this.state === 'body') return chunk;
      if (this.state === 'chunk-data') {
        const skipped = Math.min(this.chunkLeft, chunk.length - at);
        this.chunkLeft -= skipped;
        at += skipped - 1;
        if (this.chunkLeft === 0) this.state = 'chunk-end';
        continue;
      }
      this.flood = this.take(chunk, at);
      if (this.flood !== undefined) return chunk.subarray(0, at);
    }
    return chunk;
  }

  private take(chunk: Buffer, at: number): ResponseFlood | undefined {
    const byte = chunk[at];
    switch (this.state) {
      case 'status':
      case 'headers':
      case 'trailers':
        if (++this.headBytes > HEAD_BYTES_MAX)
          return new ResponseFlood('header_overflow', `more than ${HEAD_BYTES_MAX} bytes of headers`);
        if (byte === LF) return this.endLine();
        if (byte !== CR) this.inLine(chunk, at);
        return undefined;
      default:
        if (++this.framingBytes > FRAMING_BYTES_MAX)
          return new ResponseFlood(
            'incomplete_response',
            `more than ${FRAMING_BYTES_MAX} bytes around chunks`,
          );
        this.takeFraming(byte);
        return undefined;
    }
  }

  private inLine(chunk: Buffer, at: number): void {
    const column = this.lineBytes++;
    if (this.state === 'status') {
      // `HTTP/1.1 200`: one digit each, one space, or it is an error to the parser.
      if (column < 9 || column > 11) return;
      this.status = this.status * 10 + (chunk[at] - 0x30);
      if (column === 11 && this.status === 100) chunk[at] = 0x32;
    } else if (this.matched === column && column < TRANSFER_ENCODING.length) {
      // More than the parser takes for chunked may match: such a body reads as a bad size, and the rest is its affair.
      if ((chunk[at] | 0x20) === TRANSFER_ENCODING[column]) this.matched++;
      if (this.matched === TRANSFER_ENCODING.length) this.chunked = true;
    }
  }

  private endLine(): ResponseFlood | undefined {
    const blank = this.lineBytes === 0;
    this.lineBytes = this.matched = 0;
    if (!blank) {
      if (this.state === 'status') this.state = 'headers';
      if (++this.lines > HEAD_LINES_MAX)
        return new ResponseFlood('header_overflow', `more than ${HEAD_LINES_MAX} headers`);
    } else if (this.state === 'trailers') {
      this.state = 'body';
    } else if (this.state === 'headers') {
      return this.endHead();
    }
    return undefined;
  }

  private endHead(): ResponseFlood | undefined {
    if (this.status >= 100 && this.status < 200) {
      if (++this.informational > INFORMATIONAL_MAX)
        return new ResponseFlood('incomplete_response', 'endless 1xx responses');
      this.beginHead();
      return undefined;
    }
    this.state = this.chunked ? 'chunk-size' : 'body';
    this.lines = this.chunkLeft = 0;
    return undefined;
  }

  private takeFraming(byte: number): void {
    if (this.state === 'chunk-end') {
      if (byte === LF) this.state = 'chunk-size';
      return;
    }
    if (byte === LF) {
      this.state = this.chunkLeft === 0 ? 'trailers' : 'chunk-data';
      return;
    }
    if (this.state === 'chunk-extension') return;
    const digit = hexDigit(byte);
    if (digit < 0) this.state = 'chunk-extension';
    else this.chunkLeft = this.chunkLeft * 16 + digit;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
