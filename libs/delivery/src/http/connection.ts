import type { Socket } from 'node:net';
import { dial, DialError } from './guarded-dial.js';
import type { Dial, DialOptions, DialProgress, Origin } from './guarded-dial.js';
import { ResponseParser } from './response-parser.js';
import type { AnswerReader, BrokenAnswer } from './response-parser.js';

// Below the 5 s after which many servers close an idle connection (Node's own does), so that we rarely write into a
// closing one. A server that says `keep-alive: timeout=n` is believed, up to a minute, less a margin.
const IDLE_MS_DEFAULT = 4000;
const IDLE_MS_MAX = 60_000;
const IDLE_MARGIN_MS = 2000;

// A request up to this size is one buffer and one write: the same buffer for all that the kernel takes at once.
// A larger one is not copied: head and body in one writev.
const SCRATCH_BYTES = 16_384;
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Who waits for the answer: told what came, each at most once but `onBody`, and nothing after `onEnd` or `onBroken`. */
export interface Asker extends AnswerReader {
  /** The request is being written: no dial is in the way any more. */
  onWriting(): void;
  /** What came so far has been looked through, and the answer's body goes on. */
  onBodyPending(): void;
  onEnd(): void;
  /** There is no connection, it was closed, or what came is no answer. */
  onBroken(reason: DialError | BrokenAnswer | NodeJS.ErrnoException): void;
}

/**
 * One connection to one origin, which carries one request at a time over a socket from guarded-dial. So a dial always
 * belongs to the request that waits for it: its times, its error and its end are that request's. A request goes out only
 * where the last answer came to its end and nothing came after it.
 */
export class Connection {
  remoteAddress: string | undefined;
  /** What the dial for the current request took; undefined when its connection was there already. */
  dialProgress: DialProgress | undefined;

  private socket: Socket | undefined;
  private dialing: Dial | undefined;
  private destroyed = false;
  private openedAt = 0;
  /** The first thing that went wrong with the socket: what comes later is often only that it was closed. */
  private socketError: NodeJS.ErrnoException | undefined;

  private asker: Asker | undefined;
  private head = '';
  private body: Buffer = NOTHING;
  /** The request is on its way, and its answer has not ended. */
  private answering = false;
  private readonly parser = new ResponseParser();

  private idleUntil = 0;
  private idleTimer: NodeJS.Timeout | undefined;
  private idleTimerAt = 0;

  constructor(
    private readonly origin: Origin,
    private readonly options: DialOptions,
    private readonly onDisconnect: (connection: Connection) => void,
  ) {}

  /** `head` is latin1. */
  start(head: string, body: Buffer, asker: Asker): void {
    if (this.asker !== undefined) throw new Error('Bug: a connection carries one request at a time');
    this.dialProgress = undefined;
    this.head = head;
    this.body = body;
    this.asker = asker;
    if (this.socket === undefined) void this.connect();
    else writeSoon(this);
  }

  /** Whether it has a socket that may carry another request. */
  get reusable(): boolean {
    return this.socket !== undefined && !this.socket.destroyed;
  }

  /** Of its socket. */
  ageMs(): number {
    return performance.now() - this.openedAt;
  }

  /** Ends whatever it is at: the dial, the request, the idle wait. */
  destroy(): void {
    this.destroyed = true;
    this.asker = undefined;
    this.dialing?.abort();
    this.letGo();
  }

  /** Called after a round of reads: what had come when it was taken, an end or bytes of nobody's, was seen. */
  write(): void {
    if (this.asker === undefined) return;
    if (!this.reusable || performance.now() >= this.idleUntil) this.letGo();
    if (this.socket === undefined) void this.connect();
    else this.writeTo(this.socket);
  }

  private async connect(): Promise<void> {
    const dialing = dial(this.origin, this.options, this.onRead);
    this.dialing = dialing;
    this.dialProgress = dialing.progress;
    let error: DialError;
    try {
      const { socket, remoteAddress, raw } = await dialing.socket;
      this.dialing = undefined;
      if (this.destroyed) return void socket.destroy();
      this.remoteAddress = remoteAddress;
      return this.opened(socket, raw);
    } catch (reason) {
      this.dialing = undefined;
      this.remoteAddress = undefined;
      error =
        reason instanceof DialError
          ? reason
          : new DialError('internal', 'BUG', 'dialling failed', { cause: reason });
    }
    this.fail(error);
  }

  private opened(socket: Socket, raw: boolean): void {
    // Its events have been already, and nobody would tell of its end again.
    if (socket.destroyed) return this.fail(socket.errored ?? CLOSED);
    this.socket = socket;
    this.openedAt = performance.now();
    this.idleUntil = Infinity;
    this.socketError = undefined;
    socket.once('error', (reason: Error) => (this.socketError ??= reason));
    if (!raw)
      socket.on('data', (chunk: Buffer) => this.socket === socket && this.onRead(chunk, chunk.length));
    socket.once('end', () => this.onFin(socket));
    socket.once('close', () => this.onClose(socket));
    // Who waits for an answer has a timer that keeps the process alive.
    socket.unref();
    if (this.asker !== undefined) this.writeTo(socket);
  }

  private writeTo(socket: Socket): void {
    const { head, body, asker } = this;
    this.head = '';
    this.body = NOTHING;
    this.answering = true;
    this.idleUntil = Infinity;
    this.parser.begin();
    asker!.onWriting();
    const length = head.length + body.length;
    if (length <= SCRATCH_BYTES) {
      // TLS keeps what it is given until it has sent it.
      const shared = !this.origin.secure;
      const bytes = shared ? scratch.subarray(0, length) : Buffer.allocUnsafe(length);
      bytes.write(head, 'latin1');
      body.copy(bytes, head.length);
      socket.write(bytes);
      // Mostly the kernel has taken all of it by now; what it has not stays where it is until it has.
      if (shared && socket.writableLength !== 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    } else {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
    }
  }

  /** Bytes of its socket, in a buffer that the next read fills again. */
  private readonly onRead = (chunk: Buffer, length: number): void => {
    const { asker, parser } = this;
    if (!this.answering || asker === undefined) {
      // To no request: an answer to the next one must not be here before it.
      if (this.socket !== undefined) this.letGo();
      return;
    }
    const used = parser.push(chunk, length, asker);
    // It has had enough of it, and gave the connection back.
    if (this.asker !== asker) return;
    if (parser.broken !== undefined) this.fail(parser.broken);
    else if (parser.ended) this.endAnswer(used === length);
    else asker.onBodyPending();
  };

  private endAnswer(nothingAfter: boolean): void {
    const { asker, socket, parser } = this;
    this.asker = undefined;
    this.answering = false;
    // Answered before it was all written: the rest would go on, and be taken for the next request.
    const written = socket?.writableLength === 0;
    const idleMs = this.idleMs();
    if (nothingAfter && written && parser.keepAlive && idleMs > 0) this.idleFor(idleMs);
    else this.letGo();
    asker!.onEnd();
  }

  private idleMs(): number {
    const { keepAliveSeconds } = this.parser;
    if (keepAliveSeconds === undefined) return IDLE_MS_DEFAULT;
    return Math.min(keepAliveSeconds * 1000 - IDLE_MARGIN_MS, IDLE_MS_MAX);
  }

  /** One timer for many requests: it looks when it fires whether there was one meanwhile. */
  private idleFor(ms: number): void {
    this.idleUntil = performance.now() + ms;
    if (this.idleTimer !== undefined && this.idleTimerAt <= this.idleUntil) return;
    clearTimeout(this.idleTimer);
    this.armIdleTimer(ms);
  }

  private armIdleTimer(ms: number): void {
    this.idleTimerAt = performance.now() + ms;
    this.idleTimer = setTimeout(idleTimePassed, ms, this).unref();
  }

  onIdleTimer(): void {
    const leftMs = this.idleUntil - performance.now();
    this.idleTimer = undefined;
    if (this.socket === undefined) return;
    if (leftMs <= 0) this.letGo();
    else this.armIdleTimer(Math.min(Math.ceil(leftMs), IDLE_MS_DEFAULT));
  }

  /**
   * The only end that completes a body without a length: a reset says that something went wrong, and may have overtaken the rest
   * (RFC 9112, section 8). Over TLS an end without its alert should not complete one either, but Node does not tell the two apart.
   */
  private onFin(socket: Socket): void {
    if (this.socket !== socket) return;
    if (!this.answering) this.letGo();
    else if (this.parser.close()) this.endAnswer(false);
    // Why may come with its end: an alert of TLS, a reset.
    else socket.destroy();
  }

  private onClose(socket: Socket): void {
    if (this.socket !== socket) return;
    const { answering } = this;
    this.letGo();
    if (answering) this.fail(this.socketError ?? CLOSED);
  }

  private fail(reason: DialError | BrokenAnswer | NodeJS.ErrnoException): void {
    const { asker } = this;
    this.asker = undefined;
    this.letGo();
    asker?.onBroken(reason);
  }

  /** Of its socket. What waits to be written finds none, and dials. */
  private letGo(): void {
    const { socket } = this;
    this.socket = undefined;
    this.answering = false;
    this.parser.stop();
    clearTimeout(this.idleTimer);
    this.idleTimer = undefined;
    if (socket === undefined) return;
    socket.destroy();
    if (!this.destroyed && this.asker === undefined) this.onDisconnect(this);
  }
}

const NOTHING = Buffer.alloc(0);
const CLOSED: NodeJS.ErrnoException = Object.assign(new Error('closed'), { code: 'CLOSED' });

function idleTimePassed(connection: Connection): void {
  connection.onIdleTimer();
}

let taken: Connection[] = [];

/**
 * A connection that was used is written to after one more round of reads: a receiver that closed it, or spoke once more,
 * before it was taken is noticed (GHSA-35p6-xmwp-9g52). Two turns, because most are taken amid a round, whose reads were settled
 * before it began: what came during it, and a busy round takes milliseconds, is in the next. All of a turn at once.
 */
function writeSoon(connection: Connection): void {
  if (taken.push(connection) === 1) setImmediate(afterThisRound);
}

function afterThisRound(): void {
  setImmediate(writeAll, taken);
  taken = [];
}

function writeAll(connections: Connection[]): void {
  for (const connection of connections) connection.write();
}
