import type { Socket } from 'node:net';
import { Client } from 'undici';
import type { Dispatcher } from 'undici';
import { dial, DialError } from './guarded-dial.js';
import type { Dial, DialOptions, DialProgress, Origin } from './guarded-dial.js';
import { HEAD_BYTES_MAX, ResponseBounds } from './response-bounds.js';

// Below the 5 s after which many servers close an idle connection (Node's own does), so that we rarely write into a
// closing one. A server that says `keep-alive: timeout=n` is believed, up to a minute, less undici's margin of 2 s.
const IDLE_MS_DEFAULT = 4000;
const IDLE_MS_MAX = 60_000;

/**
 * One connection to one origin: an undici Client that dials through guarded-dial, and carries one request at a time. So a
 * dial always belongs to the request that waits for it: its times, its error and its end are that request's.
 */
export class Connection {
  remoteAddress: string | undefined;
  /** What the dial for the current request took; undefined when its connection was there already. */
  dialProgress: DialProgress | undefined;
  /** The first thing that went wrong with its socket. undici tells the last: after a TLS alert, that the other side closed. */
  socketError: Error | undefined;
  private dialing: Dial | undefined;
  private openedAt = 0;
  private readonly bounds = new ResponseBounds();
  private readonly client: Client;

  constructor(
    origin: Origin,
    url: string,
    options: DialOptions,
    onDisconnect: (connection: Connection) => void,
  ) {
    this.client = new Client(url, {
      connect: (_undici, callback) => void this.connect(origin, options, callback),
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: HEAD_BYTES_MAX,
      keepAliveTimeout: IDLE_MS_DEFAULT,
      keepAliveMaxTimeout: IDLE_MS_MAX,
      // Both are idle times, which endless 1xx answers and dripping bodies outlive: the exchange's own deadline bounds all.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.client.on('disconnect', () => onDisconnect(this));
  }

  start(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.dialProgress = undefined;
    this.bounds.begin();
    this.client.dispatch(request, handler);
  }

  /** Of its socket. */
  ageMs(): number {
    return performance.now() - this.openedAt;
  }

  /** Ends whatever it is at: the dial, the request, the idle wait. */
  destroy(): void {
    this.dialing?.abort();
    void this.client.destroy().catch(() => {});
  }

  private async connect(
    origin: Origin,
    options: DialOptions,
    callback: (...args: [error: null, socket: Socket] | [error: Error, socket: null]) => void,
  ): Promise<void> {
    const dialing = dial(origin, options);
    this.dialing = dialing;
    this.dialProgress = dialing.progress;
    let error: Error | undefined;
    try {
      const { socket, remoteAddress } = await dialing.socket;
      this.remoteAddress = remoteAddress;
      this.openedAt = performance.now();
      this.dialing = undefined;
      this.socketError = undefined;
      socket.once('error', (reason: Error) => (this.socketError = reason));
      this.bounds.watch(socket);
      callback(null, socket);
      return;
    } catch (reason) {
      this.dialing = undefined;
      this.remoteAddress = undefined;
      error =
        reason instanceof DialError
          ? reason
          : new DialError('internal', 'BUG', 'dialling failed', { cause: reason });
    }
    callback(error, null);
  }
}
