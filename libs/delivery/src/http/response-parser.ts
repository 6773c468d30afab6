import type { FailureClass } from '@app/domain';

// What common servers send at most. All heads of an answer together: its 1xx, its own, its trailers.
export const HEAD_BYTES_MAX = 16_384;
// Four numbers and two strings of each header are kept until the head ends: 16 KB of `a:` would be a megabyte, and 200
// receivers that leave them unended would hold 200. Real heads have 10 to 40 lines.
export const HEAD_LINES_MAX = 256;
// 100, 102 and 103 come once or twice. More is somebody spending our processor until the deadline.
export const INFORMATIONAL_MAX = 100;
// Sizes and extensions of chunks. Six bytes for each of the 16 KB of a body that comes byte by byte, and no more.
export const FRAMING_BYTES_MAX = 98_304;

/** Why an answer cannot be read on. */
export interface BrokenAnswer {
  /** The attempt's class when no status had come yet. */
  readonly failure: FailureClass;
  readonly message: string;
}

const GARBLED: BrokenAnswer = { failure: 'incomplete_response', message: 'not HTTP/1.1' };
const TWO_LENGTHS: BrokenAnswer = { failure: 'incomplete_response', message: 'more than one body length' };
const SWITCHED: BrokenAnswer = { failure: 'incomplete_response', message: 'unasked switch of protocols' };
const FLOOD_OF_HEADERS: BrokenAnswer = {
  failure: 'header_overflow',
  message: `more than ${HEAD_BYTES_MAX} bytes of headers`,
};
const FLOOD_OF_LINES: BrokenAnswer = {
  failure: 'header_overflow',
  message: `more than ${HEAD_LINES_MAX} headers`,
};
const FLOOD_OF_1XX: BrokenAnswer = { failure: 'incomplete_response', message: 'endless 1xx responses' };
const FLOOD_OF_FRAMING: BrokenAnswer = {
  failure: 'incomplete_response',
  message: `more than ${FRAMING_BYTES_MAX} bytes around chunks`,
};

/** Is told an answer as it comes. */
export interface AnswerReader {
  /** The first byte of its head, or of the 1xx before it. */
  onBegan(): void;
  /** Of the answer itself, never of a 1xx. `headers`: a name in lower case, its value, the next name, … */
  onHead(statusCode: number, headers: readonly string[]): void;
  /** From `from` to before `to` of a buffer that is another's: what is to stay has to be copied. */
  onBody(bytes: Buffer, from: number, to: number): void;
}

// Where in an answer the next byte is.
const START = 0; // before the status line; blank lines are skipped
const VERSION = 1;
const STATUS = 2;
const AFTER_STATUS = 3;
const REASON = 4;
const LINE_LF = 5;
const LINE_START = 6;
const NAME = 7;
const BEFORE_VALUE = 8;
const VALUE = 9;
const HEAD_LF = 10;
const BODY = 11; // of a known length
const BODY_TO_CLOSE = 12;
const SIZE_START = 13;
const SIZE = 14;
const EXTENSION_START = 15;
const EXTENSION = 16;
const EXTENSION_VALUE = 17;
const QUOTED = 18;
const QUOTED_PAIR = 19;
const AFTER_QUOTED = 20;
const SIZE_LF = 21;
const CHUNK = 22;
const CHUNK_CR = 23;
const CHUNK_LF = 24;
const ENDED = 25;
const BROKEN = 26;

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
const SPACE = 0x20;
const QUOTE = 0x22;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const PROTOCOL = Buffer.from('HTTP/');

const IS_TOKEN = 1;
const IS_VALUE = 2;
/** What a byte may be part of. */
const KIND = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte);
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) KIND[byte] |= IS_TOKEN;
  if (byte === TAB || (byte >= SPACE && byte !== 0x7f)) KIND[byte] |= IS_VALUE;
}

// More is no length to anybody.
const LENGTH_END = 2 ** 64;

/**
 * Reads one answer after the other off a connection, each to exactly its end, as bytes come. As strict as llhttp is without
 * its leniencies, because what two readers understand otherwise is how answers are smuggled: lines end with CR LF, nothing is folded,
 * no blank stands before a colon, one length only. Counts lines, heads and framing as it goes, so that no answer is
 * unbounded. Never throws: what is wrong is `broken`, found at the same byte however the answer was cut.
 */
export class ResponseParser {
  /** Set once; nothing is read after it. */
  broken: BrokenAnswer | undefined;
  /** Whether the connection may carry another request, as HTTP says it. Known with the head. */
  keepAlive = false;
  /** What `keep-alive: timeout=` said; undefined when nothing. */
  keepAliveSeconds: number | undefined;

  private state = ENDED;
  private headBytes = 0;
  private lines = 0;
  private informational = 0;
  private framingBytes = 0;
  /** Of the head so far: what came in earlier pieces. Most heads come in one, and need none. */
  private earlier: Buffer | undefined;
  private earlierBytes = 0;
  /** Where in the head each name and value begins and ends. */
  private marks: number[] = [];
  private inTrailers = false;
  private column = 0;
  private major = 0;
  private minor = 0;
  private status = 0;
  /** Of the body or the chunk. */
  private left = 0;

  /** A request goes out: what comes next is the head of its answer. */
  begin(): void {
    this.headBytes = this.informational = this.framingBytes = 0;
    this.broken = undefined;
    this.beginHead();
  }

  private beginHead(): void {
    this.state = START;
    this.lines = this.column = this.status = this.earlierBytes = 0;
    this.marks.length = 0;
    this.inTrailers = this.keepAlive = false;
    this.keepAliveSeconds = undefined;
  }

  get ended(): boolean {
    return this.state === ENDED;
  }

  /** Its reader wants no more of it, whatever comes. */
  stop(): void {
    this.state = BROKEN;
  }

  /** The connection was closed. Whether that ends the answer as it should. */
  close(): boolean {
    if (this.state === BODY_TO_CLOSE) this.state = ENDED;
    return this.state === ENDED;
  }

  /** Takes the first `length` bytes. Answers how many were this answer's: fewer mean that it has ended or is broken. */
  push(chunk: Buffer, length: number, reader: AnswerReader): number {
    let at = 0;
    while (at < length && this.state < ENDED) {
      if (this.state <= HEAD_LF) at = this.head(chunk, at, length, reader);
      else if (this.state === BODY_TO_CLOSE) {
        reader.onBody(chunk, at, length);
        at = length;
      } else if (this.state === BODY || this.state === CHUNK) {
        const to = Math.min(length, at + this.left);
        this.left -= to - at;
        if (this.left === 0) this.state = this.state === BODY ? ENDED : CHUNK_CR;
        reader.onBody(chunk, at, to);
        at = to;
      } else {
        if (++this.framingBytes > FRAMING_BYTES_MAX) this.break(FLOOD_OF_FRAMING);
        else this.framing(chunk[at]);
        at++;
      }
    }
    return at;
  }

  private break(why: BrokenAnswer): void {
    // Told to stop by its reader, it stays so.
    if (this.state !== BROKEN) this.broken = why;
    this.state = BROKEN;
  }

  /** Reads on in a head or in trailers. Answers where it stopped. */
  private head(chunk: Buffer, from: number, length: number, reader: AnswerReader): number {
    const end = Math.min(length, from + HEAD_BYTES_MAX - this.headBytes);
    // What a place in this chunk is in the whole head.
    const offset = this.earlierBytes - from;
    const { marks } = this;
    let at = from;
    let state = this.state;
    loop: while (at < end) {
      const byte = chunk[at];
      switch (state) {
        case VALUE:
          while (at < end && (KIND[chunk[at]] & IS_VALUE) !== 0) at++;
          if (at === end) break loop;
          marks.push(at + offset);
          if (chunk[at] !== CR) return this.garbled(at);
          state = LINE_LF;
          break;
        case NAME:
          while (at < end && (KIND[chunk[at]] & IS_TOKEN) !== 0) at++;
          if (at === end) break loop;
          marks.push(at + offset);
          if (chunk[at] !== COLON) return this.garbled(at);
          state = BEFORE_VALUE;
          break;
        case BEFORE_VALUE:
          if (byte === SPACE || byte === TAB) break;
          marks.push(at + offset);
          state = VALUE;
          continue;
        case LINE_START:
          if (byte === CR) {
            state = HEAD_LF;
            break;
          }
          if ((KIND[byte] & IS_TOKEN) === 0) return this.garbled(at);
          marks.push(at + offset);
          state = NAME;
          break;
        case LINE_LF:
          if (byte !== LF) return this.garbled(at);
          if (++this.lines > HEAD_LINES_MAX) {
            this.break(FLOOD_OF_LINES);
            return at;
          }
          state = LINE_START;
          break;
        case HEAD_LF:
          if (byte !== LF) return this.garbled(at);
          at++;
          this.headBytes += at - from;
          this.endHead(chunk, from, at, reader);
          return at;
        case START:
          if (byte === CR || byte === LF) break;
          reader.onBegan();
          state = VERSION;
          continue;
        case VERSION:
          if (!this.inVersion(byte)) return this.garbled(at);
          if (byte === SPACE) state = STATUS;
          break;
        case STATUS:
          if (byte < 0x30 || byte > 0x39) return this.garbled(at);
          this.status = this.status * 10 + byte - 0x30;
          if (++this.column === 12) state = AFTER_STATUS;
          break;
        case AFTER_STATUS:
          if (byte !== SPACE && byte !== CR) return this.garbled(at);
          state = byte === CR ? LINE_LF : REASON;
          break;
        case REASON:
          if (byte === LF) return this.garbled(at);
          if (byte === CR) state = LINE_LF;
          break;
      }
      at++;
    }
    this.state = state;
    this.headBytes += at - from;
    if (at < length) this.break(FLOOD_OF_HEADERS);
    else this.keep(chunk, from, at);
    return at;
  }

  private garbled(at: number): number {
    this.break(GARBLED);
    return at;
  }

  /** `HTTP/1.1 `, byte by byte. Of 0.9 and 2.0, which some say in this form, nobody asked for the connection's sake. */
  private inVersion(byte: number): boolean {
    const column = this.column++;
    if (column < 5) return byte === PROTOCOL[column];
    if (column === 6) return byte === 0x2e;
    if (column === 8) return byte === SPACE && isVersion(this.major, this.minor);
    if (byte < 0x30 || byte > 0x39) return false;
    if (column === 5) this.major = byte - 0x30;
    else this.minor = byte - 0x30;
    return true;
  }

  /** Of trailers nothing is kept. */
  private keep(chunk: Buffer, from: number, to: number): void {
    if (this.inTrailers) return;
    const bytes = this.earlierBytes + to - from;
    if (this.earlier === undefined || this.earlier.length < bytes) {
      const larger = Buffer.allocUnsafeSlow(Math.min(HEAD_BYTES_MAX, Math.max(1024, bytes * 2)));
      this.earlier?.copy(larger, 0, 0, this.earlierBytes);
      this.earlier = larger;
    }
    chunk.copy(this.earlier, this.earlierBytes, from, to);
    this.earlierBytes = bytes;
  }

  private endHead(chunk: Buffer, from: number, to: number, reader: AnswerReader): void {
    if (this.inTrailers) {
      this.state = ENDED;
      return;
    }
    const { status } = this;
    if (status < 100) return this.break(GARBLED);
    if (status === 101) return this.break(SWITCHED);
    if (status < 200) {
      if (++this.informational > INFORMATIONAL_MAX) return this.break(FLOOD_OF_1XX);
      return this.beginHead();
    }
    let text: string;
    if (this.earlierBytes === 0) {
      text = chunk.toString('latin1', from, to);
    } else {
      this.keep(chunk, from, to);
      text = this.earlier!.toString('latin1', 0, this.earlierBytes);
      this.earlier = undefined;
    }
    this.endAnswersHead(text, reader);
  }

  private endAnswersHead(text: string, reader: AnswerReader): void {
    const { marks } = this;
    const headers: string[] = [];
    let length = -1;
    let encoding: string | undefined;
    let connection = '';
    let keepAlive = '';
    for (let i = 0; i < marks.length; i += 4) {
      const name = text.slice(marks[i], marks[i + 1]).toLowerCase();
      const value = text.slice(marks[i + 2], marks[i + 3]);
      headers.push(name, value);
      if (name === 'content-length') {
        if (length >= 0) return this.break(TWO_LENGTHS);
        length = lengthOf(value);
        if (length < 0) return this.break(GARBLED);
      } else if (name === 'transfer-encoding') {
        encoding = value;
      } else if (name === 'connection') {
        connection += `${value},`;
      } else if (name === 'keep-alive') {
        keepAlive += `${value},`;
      }
    }
    if (length >= 0 && encoding !== undefined) return this.break(TWO_LENGTHS);
    const bodyless = this.status === 204 || this.status === 304;
    const chunked = encoding !== undefined && CHUNKED_LAST.test(encoding);
    if (bodyless) this.state = ENDED;
    else if (chunked) this.state = SIZE_START;
    else if (encoding !== undefined || length < 0) this.state = BODY_TO_CLOSE;
    else this.state = length === 0 ? ENDED : BODY;
    this.left = length;
    this.lines = 0;
    // What came with a 204 that should have nothing is not taken for the next answer: nobody waits on this connection again.
    const surplus = bodyless && (length > 0 || encoding !== undefined);
    const asked = this.major > 0 && this.minor > 0 ? !CLOSE.test(connection) : KEEP_ALIVE.test(connection);
    this.keepAlive = asked && !surplus && this.state !== BODY_TO_CLOSE;
    const seconds = keepAlive === '' ? null : TIMEOUT.exec(keepAlive);
    if (seconds !== null) this.keepAliveSeconds = Number(seconds[1]);
    reader.onHead(this.status, headers);
  }

  private framing(byte: number): void {
    switch (this.state) {
      case SIZE_START:
        this.left = 0;
        this.state = SIZE;
        return this.size(hexDigit(byte));
      case SIZE:
        if (byte === CR) this.state = SIZE_LF;
        else if (byte === SEMICOLON) this.state = EXTENSION_START;
        else this.size(hexDigit(byte));
        return;
      case EXTENSION_START:
        if (byte === CR) return this.break(GARBLED);
        this.state = EXTENSION;
        return this.framing(byte);
      case EXTENSION:
        if (byte === EQUALS) this.state = EXTENSION_VALUE;
        else this.afterExtension(byte, (KIND[byte] & IS_TOKEN) !== 0);
        return;
      case EXTENSION_VALUE:
        if (byte === QUOTE) this.state = QUOTED;
        else this.afterExtension(byte, (KIND[byte] & IS_TOKEN) !== 0);
        return;
      case QUOTED:
        if (byte === QUOTE) this.state = AFTER_QUOTED;
        else if (byte === BACKSLASH) this.state = QUOTED_PAIR;
        else if ((KIND[byte] & IS_VALUE) === 0) this.break(GARBLED);
        return;
      case QUOTED_PAIR:
        if ((KIND[byte] & IS_VALUE) === 0) this.break(GARBLED);
        else this.state = QUOTED;
        return;
      case AFTER_QUOTED:
        this.afterExtension(byte, false);
        return;
      case SIZE_LF:
        if (byte !== LF) return this.break(GARBLED);
        if (this.left === 0) {
          this.inTrailers = true;
          this.state = LINE_START;
        } else this.state = CHUNK;
        return;
      case CHUNK_CR:
        if (byte === CR) this.state = CHUNK_LF;
        else this.break(GARBLED);
        return;
      case CHUNK_LF:
        if (byte === LF) this.state = SIZE_START;
        else this.break(GARBLED);
    }
  }

  private size(digit: number): void {
    this.left = this.left * 16 + digit;
    if (digit < 0 || this.left > LENGTH_END) this.break(GARBLED);
  }

  private afterExtension(byte: number, goesOn: boolean): void {
    if (byte === CR) this.state = SIZE_LF;
    else if (byte === SEMICOLON) this.state = EXTENSION_START;
    else if (!goesOn) this.break(GARBLED);
  }
}

const CLOSE = /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i;
const KEEP_ALIVE = /(?:^|,)[\t ]*keep-alive[\t ]*(?:,|$)/i;
const TIMEOUT = /(?:^|,)[\t ]*timeout=(\d+)/i;
const CHUNKED_LAST = /(?:^|,)[\t ]*chunked[\t ]*$/i;

function isVersion(major: number, minor: number): boolean {
  return (major === 1 && minor <= 1) || (major === 0 && minor === 9) || (major === 2 && minor === 0);
}

/** -1 for what is none. */
function lengthOf(value: string): number {
  if (!/^\d+ *$/.test(value)) return -1;
  const length = Number(value);
  return length <= LENGTH_END ? length : -1;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
