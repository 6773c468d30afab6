import type { EgressProxy } from '@app/config';
import { checkEndpointUrl, classifyError, classifyStatus } from '@app/domain';
import type { FailureClass, TlsIdentity, UrlPolicy, UrlProblemCode } from '@app/domain';
import { Generations } from '@app/persistence';
import type { Asker, Connection } from './connection.js';
import { codeOf, DialError, systemSockets } from './guarded-dial.js';
import type { DialOptions, DialTimings, SocketOpener } from './guarded-dial.js';
import { OriginPool } from './origin-pool.js';
import type { Taker } from './origin-pool.js';
import { headStart, requestHead } from './request-head.js';
import type { HeadStart } from './request-head.js';
import { DnsResolver } from './resolver.js';
import type { HostResolver } from './resolver.js';
import { keptHeaders } from './response-headers.js';
import type { BrokenAnswer } from './response-parser.js';
import { identityKey, secureContextOf } from './tls-identity.js';

export interface HttpSenderOptions {
  /** What may be dialled: each URL is judged anew for each request. */
  readonly policy: UrlPolicy;
  readonly proxy?: EgressProxy | null;
  /** TCP and TLS together; DNS has its own bound. */
  readonly connectTimeoutMs?: number;
  /** Sent when the request names none. */
  readonly userAgent?: string;
  /** How much of a response body is kept; the rest is not read. */
  readonly responseBytesMax?: number;
  /** How long a body may take once the status, and so the outcome, is known. */
  readonly bodyTimeoutMs?: number;
  /**
   * To one origin (scheme, host, port). As many as a worker has slots, so that nobody waits in line: a shared origin
   * (one integration vendor, a thousand endpoints) is slowed by its endpoints' lanes, not here.
   */
  readonly connectionsPerOriginMax?: number;
  /** A connection is not used for longer: a name that has moved is noticed, and judged again. */
  readonly connectionAgeMaxMs?: number;
  readonly resolver?: HostResolver;
  readonly sockets?: SocketOpener;
  /** Trusted beside Node's own roots, PEM. */
  readonly extraCa?: string;
}

export interface SendRequest {
  /** The serialised form that checkEndpointUrl gave. */
  readonly url: string;
  /** POST when absent. */
  readonly method?: 'POST' | 'OPTIONS';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** From the call to the outcome: waiting, DNS, connect, TLS, request and response. */
  readonly deadlineMs: number;
  /** For an https URL only. */
  readonly identity?: TlsIdentity;
  /** Gives up at once: for shutting down. `sender.destroy()` does it for all, without a listener per request. */
  readonly signal?: AbortSignal;
}

/** null where it did not happen in this attempt: a reused connection has no dns, connect and tls. */
export interface SendTimings extends DialTimings {
  firstByteMs: number | null;
  totalMs: number;
}

export interface SendResult {
  readonly statusCode?: number;
  /** null is success: a 2xx head arrived, whatever became of its body. */
  readonly failure: FailureClass | null;
  /** A short sentence or code for people. No secret, and no address that the customer did not write. */
  readonly failureDetail?: string;
  readonly responseHeaders?: Record<string, string>;
  readonly responseBody?: Buffer;
  /** More may have come than is kept. */
  readonly responseTruncated: boolean;
  /** What happened to the body when it did not simply end. */
  readonly bodyNote?: string;
  readonly remoteAddress?: string;
  readonly timings: SendTimings;
}

const CONNECT_TIMEOUT_MS = 5000;
// As long as a name's address is commonly kept. A busy receiver pays a handshake every two minutes.
const CONNECTION_AGE_MAX_MS = 120_000;
const RESPONSE_BYTES_MAX = 16_384;
const BODY_TIMEOUT_MS = 2000;
const CONNECTIONS_PER_ORIGIN_MAX = 256;
// A parsed URL and its pool, found by its text: saves 2 µs of each attempt. What it names may be a secret of its receiver, so a URL that
// is not sent to is gone after two of these.
const TARGETS_GENERATION_MAX = 5000;
const TARGETS_GENERATION_MS = 30_000;

interface Target {
  readonly head: HeadStart;
  readonly originUrl: string;
}

interface Refusal {
  readonly code: UrlProblemCode;
  readonly message: string;
}

/** A URL that would be refused today: an old row, or a policy that has changed. Nothing is looked up for it. */
const FAILURE_OF: Record<UrlProblemCode, FailureClass> = {
  url_too_long: 'config_invalid',
  url_malformed: 'config_invalid',
  url_scheme: 'config_invalid',
  url_userinfo: 'config_invalid',
  url_host: 'blocked_address',
  url_blocked_address: 'blocked_address',
  url_port: 'blocked_port',
};

/**
 * The only code that dials a customer's URL. One request, no redirect followed, nothing decompressed; everything bounded by
 * one deadline. Never throws for what a receiver, its name servers or its URL did: that is a result.
 *
 * Built on a connection of our own (docs/adr/0017): no stream, no AbortSignal and no closure for each attempt, and a dial that
 * belongs to its request. Measured on loopback (two cores shared with the receiver, Node 26, 64 in flight, 1 KB): 12 to 15 µs of the
 * main thread each, half of them the kernel's `write`; undici's Client in the same turns 17 to 23.
 */
export class HttpSender {
  private readonly dialOptions: DialOptions;
  private readonly limits: Limits;
  private readonly pools = new Map<string, OriginPool>();
  private readonly targets = new Generations<Target>(TARGETS_GENERATION_MAX, TARGETS_GENERATION_MS);
  private readonly inFlight = new Set<Exchange>();
  private destroyed = false;

  constructor(private readonly options: HttpSenderOptions) {
    this.dialOptions = {
      addresses: options.policy.addresses,
      proxy: options.proxy ?? null,
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      resolver: options.resolver ?? new DnsResolver(),
      sockets: options.sockets ?? systemSockets,
      // Once, not per connection: loading the root certificates is the dear part of it.
      secureContext: secureContextOf(undefined, options.extraCa),
    };
    this.limits = {
      responseBytesMax: options.responseBytesMax ?? RESPONSE_BYTES_MAX,
      bodyTimeoutMs: options.bodyTimeoutMs ?? BODY_TIMEOUT_MS,
    };
  }

  send(request: SendRequest): Promise<SendResult> {
    return new Promise((resolve) => {
      const startedAt = performance.now();
      const target = this.targetOf(request.url);
      if ('message' in target) return resolve(refused(startedAt, FAILURE_OF[target.code], target.message));
      if (this.destroyed || request.signal?.aborted)
        return resolve(refused(startedAt, 'internal', 'shutting down'));
      const post = request.method !== 'OPTIONS';
      const bodyLength = post || request.body.length > 0 ? request.body.length : undefined;
      const start = post ? target.head.post : target.head.options;
      const head = requestHead(start, this.headersOf(request), bodyLength);
      if (typeof head !== 'string') return resolve(refused(startedAt, 'config_invalid', head.message));
      // Last: a pool goes with its last connection, so one that is made gets one.
      const pool = this.poolOf(target.originUrl, request.identity);
      if (typeof pool === 'string') return resolve(refused(startedAt, 'config_invalid', pool));
      const exchange = new Exchange(startedAt, request, head, this.limits, this.inFlight, resolve);
      this.inFlight.add(exchange);
      exchange.run(pool);
    });
  }

  /** Ends what is in flight as `internal` (the receiver may have it: at least once) and closes every connection. */
  destroy(): void {
    this.destroyed = true;
    for (const exchange of this.inFlight) exchange.cancel();
    for (const pool of this.pools.values()) pool.destroy();
    this.pools.clear();
  }

  private headersOf({ headers }: SendRequest): Readonly<Record<string, string>> {
    const { userAgent } = this.options;
    if (userAgent === undefined || headers['user-agent'] !== undefined) return headers;
    return { ...headers, 'user-agent': userAgent };
  }

  private targetOf(url: string): Target | Refusal {
    const known = this.targets.get(url);
    if (known !== undefined) return known;
    const check = checkEndpointUrl(url, this.options.policy);
    if (!check.ok) return check;
    const parsed = new URL(check.url);
    const head = headStart(parsed.pathname + parsed.search, parsed.host);
    const target: Target = { head, originUrl: parsed.origin };
    this.targets.set(url, target);
    return target;
  }

  /**
   * By origin and TLS identity: what one endpoint may say over a connection that its certificate opened, another must not.
   * Its secure context lives as long as the pool has connections. Answers why there can be none.
   */
  private poolOf(originUrl: string, identity: TlsIdentity | undefined): OriginPool | string {
    const key = identity === undefined ? originUrl : `${originUrl} ${identityKey(identity)}`;
    const known = this.pools.get(key);
    if (known !== undefined) return known;
    const { protocol, hostname, port } = new URL(originUrl);
    const secure = protocol === 'https:';
    if (identity !== undefined && !secure) return 'TLS settings need an https URL';
    let { dialOptions } = this;
    try {
      if (identity !== undefined) dialOptions = { ...dialOptions, secureContext: secureContextOf(identity) };
    } catch (error) {
      return `the TLS settings cannot be used: ${codeOf(error)}`;
    }
    const pool = new OriginPool(
      { secure, hostname, port: port === '' ? (secure ? 443 : 80) : Number(port) },
      dialOptions,
      {
        connectionsMax: this.options.connectionsPerOriginMax ?? CONNECTIONS_PER_ORIGIN_MAX,
        ageMaxMs: this.options.connectionAgeMaxMs ?? CONNECTION_AGE_MAX_MS,
      },
      (empty) => {
        if (this.pools.get(key) === empty) this.pools.delete(key);
      },
    );
    this.pools.set(key, pool);
    return pool;
  }
}

interface Limits {
  readonly responseBytesMax: number;
  readonly bodyTimeoutMs: number;
}

/**
 * One request and its answer, from taking a connection to giving it back. Settles exactly once, by whatever comes first: the
 * body's end, its cap, an error, the deadline. What still arrives later finds it settled.
 */
class Exchange implements Asker, Taker {
  private pool!: OriginPool;
  private timer: NodeJS.Timeout | undefined;
  private cancelled: (() => void) | undefined;
  private connection: Connection | undefined;
  /** The request is being written: no dial is in the way any more. */
  private started = false;
  private settled = false;
  /** The answer came to its end: only then can the connection carry another request. */
  private ended = false;
  /** The status is known, and the body's own time runs. */
  private bodyBounded = false;

  private answerBegan = false;
  private statusCode: number | undefined;
  private headers: readonly string[] | undefined;
  private firstByteAt: number | undefined;
  private body: Buffer = NOTHING;
  private bodyBytes = 0;

  constructor(
    private readonly startedAt: number,
    private readonly request: SendRequest,
    private readonly head: string,
    private readonly limits: Limits,
    private readonly inFlight: Set<Exchange>,
    private readonly settle: (result: SendResult) => void,
  ) {}

  run(pool: OriginPool): void {
    this.pool = pool;
    this.timer = setTimeout(deadlinePassed, this.request.deadlineMs, this);
    const { signal } = this.request;
    if (signal !== undefined) signal.addEventListener('abort', (this.cancelled = () => this.cancel()));
    pool.take(this);
  }

  cancel(): void {
    this.finish('internal', 'shutting down');
  }

  onConnection(connection: Connection): void {
    this.connection = connection;
    connection.start(this.head, this.request.body, this);
  }

  onDeadline(): void {
    const within = `within ${this.request.deadlineMs} ms`;
    if (this.statusCode !== undefined) this.finish(undefined, 'the response body did not end in time');
    else if (this.connection === undefined) this.finish('internal', `no free connection ${within}`);
    else if (!this.started) this.finish(this.unfinishedDial(), `no connection ${within}`);
    else if (this.answerBegan) this.finish('header_timeout', `the response head did not end ${within}`);
    else this.finish('response_timeout', `no response ${within}`);
  }

  private unfinishedDial(): FailureClass {
    switch (this.connection?.dialProgress?.phase) {
      case 'dns':
        return 'dns_timeout';
      case 'proxy':
        return 'proxy_failed';
      case 'tls':
        return 'tls_handshake';
      default:
        return 'connect_timeout';
    }
  }

  // From here on: called by the connection, in this order.

  onWriting(): void {
    this.started = true;
  }

  onBegan(): void {
    this.answerBegan = true;
    this.firstByteAt ??= performance.now();
  }

  onHead(statusCode: number, headers: readonly string[]): void {
    this.statusCode = statusCode;
    this.headers = headers;
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    const room = this.limits.responseBytesMax - this.bodyBytes;
    this.keep(bytes, from, Math.min(to, from + room));
    if (to - from <= room) return;
    this.finish(
      undefined,
      `only the first ${this.limits.responseBytesMax} bytes of the response body were read`,
    );
  }

  /** In one buffer, which grows: 16,384 of a byte each would be two megabytes. */
  private keep(bytes: Buffer, from: number, to: number): void {
    const length = this.bodyBytes + to - from;
    if (length > this.body.length) {
      const room = this.bodyBytes === 0 ? length : Math.min(length * 2, this.limits.responseBytesMax);
      const larger = Buffer.allocUnsafe(room);
      this.body.copy(larger, 0, 0, this.bodyBytes);
      this.body = larger;
    }
    bytes.copy(this.body, this.bodyBytes, from, to);
    this.bodyBytes = length;
  }

  /** Once the status is known it decides; the body is a courtesy to support and gets little time. */
  onBodyPending(): void {
    if (this.statusCode === undefined || this.bodyBounded) return;
    this.bodyBounded = true;
    const leftMs = this.request.deadlineMs - (performance.now() - this.startedAt);
    if (leftMs <= this.limits.bodyTimeoutMs) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(deadlinePassed, this.limits.bodyTimeoutMs, this);
  }

  onEnd(): void {
    this.ended = true;
    this.finish();
  }

  onBroken(reason: DialError | BrokenAnswer | NodeJS.ErrnoException): void {
    if (reason instanceof DialError) return this.finish(reason.failure, reason.message);
    const ofAnswer = 'failure' in reason;
    const what = ofAnswer ? reason.message : codeOf(reason);
    if (this.statusCode !== undefined) return this.finish(undefined, `the response body broke off: ${what}`);
    if (ofAnswer) return this.finish(reason.failure, what);
    const failure = classifyError(reason);
    // Once an answer began, whatever breaks is an answer that broke. Above all it is never ours: a fault of ours burns no
    // try, and a receiver that found an error we have no name for would be tried for ever.
    const broken = this.answerBegan && (failure === 'reset_before_response' || failure === 'internal');
    this.finish(broken ? 'incomplete_response' : failure, what);
  }

  /** The status decides when there is one; `failure` when there is none. `note` goes to whichever it explains. */
  private finish(failure?: FailureClass, note?: string): void {
    if (this.settled) return;
    this.settled = true;
    clearTimeout(this.timer);
    if (this.cancelled !== undefined) this.request.signal!.removeEventListener('abort', this.cancelled);
    this.inFlight.delete(this);
    const result = this.result(failure, note);
    // A connection whose answer has not ended is closed there, so the rest of it is never taken off the wire.
    if (this.connection === undefined) this.pool.leave(this);
    else this.pool.release(this.connection, this.ended);
    this.settle(result);
  }

  private result(failure: FailureClass | undefined, note: string | undefined): SendResult {
    const { connection, statusCode, body, bodyBytes } = this;
    const dialed = connection?.dialProgress;
    const now = performance.now();
    const timings: SendTimings = {
      dnsMs: dialed?.dnsMs ?? null,
      connectMs: dialed?.connectMs ?? null,
      tlsMs: dialed?.tlsMs ?? null,
      firstByteMs: this.firstByteAt === undefined ? null : this.firstByteAt - this.startedAt,
      totalMs: now - this.startedAt,
    };
    if (statusCode === undefined) {
      return {
        failure: failure ?? 'internal',
        failureDetail: note,
        responseTruncated: false,
        remoteAddress: connection?.remoteAddress,
        timings,
      };
    }
    return {
      statusCode,
      failure: classifyStatus(statusCode),
      failureDetail: undefined,
      responseHeaders: keptHeaders(this.headers!),
      responseBody: bodyBytes === body.length ? body : body.subarray(0, bodyBytes),
      responseTruncated: note !== undefined,
      bodyNote: note,
      remoteAddress: connection!.remoteAddress,
      timings,
    };
  }
}

const NOTHING = Buffer.alloc(0);

function deadlinePassed(exchange: Exchange): void {
  exchange.onDeadline();
}

function refused(startedAt: number, failure: FailureClass, failureDetail: string): SendResult {
  const totalMs = performance.now() - startedAt;
  return {
    failure,
    failureDetail,
    responseTruncated: false,
    timings: { dnsMs: null, connectMs: null, tlsMs: null, firstByteMs: null, totalMs },
  };
}
