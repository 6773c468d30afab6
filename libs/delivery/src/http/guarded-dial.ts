import net from 'node:net';
import tls from 'node:tls';
import type { EgressProxy } from '@app/config';
import { classifyError, dialProblem, literalAddressOf } from '@app/domain';
import type { AddressPolicy, FailureClass } from '@app/domain';
import { openTunnel } from './proxy-tunnel.js';
import type { HostResolver } from './resolver.js';

/** Where one origin is: what a URL says, before any name is asked for. */
export interface Origin {
  readonly secure: boolean;
  /** WHATWG form: lower case, IPv6 in brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** Why there is no connection. `failure` is the attempt's class; the message is shown to the customer. */
export class DialError extends Error {
  /** Prefixed: what a name server or a receiver makes it say is not taken for a code of ours. */
  readonly code: string;

  constructor(
    readonly failure: FailureClass,
    code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = `DIAL_${code}`;
  }
}

export interface DialTimings {
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
}

/** Filled in as it goes: also a dial that failed says how long its DNS took, and one cut short what it was at. */
export interface DialProgress extends DialTimings {
  phase: 'dns' | 'proxy' | 'connect' | 'tls';
}

export interface Dialled {
  readonly socket: net.Socket;
  readonly remoteAddress: string;
  /** What it reads goes to `onRead`; else it is a stream, and its owner listens to `data`. */
  readonly raw: boolean;
}

/** The first `length` bytes of a buffer that the next read, of any socket, fills again. */
export type OnRead = (buffer: Buffer, length: number) => void;

export interface Dial {
  /** Resolves once, with a socket that was judged three times, or rejects with a DialError. */
  readonly socket: Promise<Dialled>;
  readonly progress: DialProgress;
  /** Gives up, whatever it is at; `socket` then rejects. */
  abort(): void;
}

/** The innermost step: what opens a socket. A test puts its own here to see that none was opened. */
export interface SocketOpener {
  plain(options: net.TcpNetConnectOpts): net.Socket;
  secure(options: tls.ConnectionOptions): tls.TLSSocket;
}

export const systemSockets: SocketOpener = {
  plain: (options) => net.connect(options),
  secure: (options) => tls.connect(options),
};

export interface DialOptions {
  readonly addresses: AddressPolicy;
  /** What is dialled instead of the judged address, which it is then asked to connect us to. */
  readonly proxy: EgressProxy | null;
  readonly connectTimeoutMs: number;
  readonly resolver: HostResolver;
  readonly sockets: SocketOpener;
  readonly secureContext: tls.SecureContext;
}

// More addresses than this behind one name are judged all, but not tried all.
const ADDRESSES_TRIED_MAX = 8;
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
// Node's 250 ms cuts off receivers a hemisphere away when their name has a second address.
const ATTEMPT_PER_ADDRESS_MS = 1000;

/**
 * Opens a connection to a customer's host. The address is judged three times: the literal in the URL (no lookup is ever
 * made for one), every answer of the one lookup (a single forbidden answer refuses the name: accepting "any that is
 * fine" has been a CVE), and the address the socket really has. What was judged is what is dialled, so there is no second
 * lookup for a rebinding name to answer differently.
 */
export function dial(origin: Origin, options: DialOptions, onRead: OnRead): Dial {
  const progress: DialProgress = { phase: 'dns', dnsMs: null, connectMs: null, tlsMs: null };
  const abort = new AbortController();
  const socket = open(origin, options, progress, abort.signal, onRead);
  return { socket, progress, abort: () => abort.abort() };
}

async function open(
  origin: Origin,
  options: DialOptions,
  progress: DialProgress,
  signal: AbortSignal,
  onRead: OnRead,
): Promise<Dialled> {
  const addresses = await vettedAddresses(origin, options, progress);
  if (signal.aborted) throw givenUp();
  if (options.proxy !== null)
    return throughProxy(origin, addresses, options.proxy, options, progress, signal);
  const raw = !origin.secure;
  const reading = raw ? { onread: readingInto(onRead) } : {};
  const to = { ...addressOptions(origin, addresses), ...reading };
  const socket = await connected(origin, to, options, progress, signal);
  const { remoteAddress } = socket;
  if (remoteAddress === undefined || socket.destroyed) {
    socket.destroy();
    throw new DialError(
      'reset_before_response',
      'ECONNRESET',
      'the connection was closed as soon as it was open',
    );
  }
  const problem = dialProblem(remoteAddress, origin.port, options.addresses);
  if (problem !== null) {
    socket.destroy();
    throw refusal(problem, origin, 'the connection led');
  }
  return { socket, remoteAddress, raw };
}

// Of all sockets: what is read is looked through before the next read. No buffer and no stream for each answer.
const READ_INTO = Buffer.alloc(65_536);

function readingInto(onRead: OnRead): net.OnReadOpts {
  return {
    buffer: READ_INTO,
    callback: (length) => {
      onRead(READ_INTO, length);
      return true;
    },
  };
}

/**
 * The proxy gets an address, never a name: looked up over there, it could be another one than was judged here. TLS is spoken
 * with the receiver, end to end. Through a proxy the far end of the socket cannot be judged a third time; the proxy's own
 * rules are that judgement.
 */
async function throughProxy(
  origin: Origin,
  addresses: readonly string[],
  proxy: EgressProxy,
  options: DialOptions,
  progress: DialProgress,
  signal: AbortSignal,
): Promise<Dialled> {
  progress.phase = 'proxy';
  const startedAt = performance.now();
  const msLeft = () => Math.max(1, options.connectTimeoutMs - (performance.now() - startedAt));
  for (const [at, address] of addresses.entries()) {
    const host = await addressOfProxy(proxy, options);
    if (signal.aborted) throw givenUp();
    const tunnel = await openTunnel(
      options.sockets.plain({ host, port: proxy.port, ...SOCKET_OPTIONS }),
      { address, port: origin.port, authorization: proxy.authorization },
      msLeft(),
      signal,
    );
    progress.connectMs = performance.now() - startedAt;
    if (tunnel instanceof net.Socket) {
      if (!origin.secure) return { socket: tunnel, remoteAddress: address, raw: false };
      const within = { ...options, connectTimeoutMs: msLeft() };
      // The address beside the tunnel: without it Node would ask the certificate of an IP literal for `localhost`.
      const to = { socket: tunnel, host: address };
      const socket = await connected(origin, to, within, progress, signal);
      return { socket, remoteAddress: address, raw: false };
    }
    const mayTryNext = tunnel.failure === 'proxy_failed' && at + 1 < addresses.length && !signal.aborted;
    if (!mayTryNext) throw new DialError(tunnel.failure, tunnel.code, tunnel.message);
  }
  throw new Error('Bug: no address to connect to');
}

/** The operator's own: not judged, and dialled as a proxy only. */
async function addressOfProxy({ hostname }: EgressProxy, { resolver }: DialOptions): Promise<string> {
  const literal = literalAddressOf(hostname);
  if (literal !== undefined) return literal;
  let code = 'ENODATA';
  const [first] = await resolver.resolve(withoutRootDot(hostname)).catch((error: unknown) => {
    code = codeOf(error);
    return [];
  });
  if (first === undefined)
    throw new DialError('proxy_failed', code, `the egress proxy could not be looked up: ${code}`);
  return first;
}

async function vettedAddresses(
  origin: Origin,
  { addresses: policy, resolver }: DialOptions,
  progress: DialProgress,
): Promise<readonly string[]> {
  const { hostname, port } = origin;
  const literal = literalAddressOf(hostname);
  if (literal !== undefined) {
    const problem = dialProblem(literal, port, policy);
    if (problem !== null) throw refusal(problem, origin, 'the URL leads');
    return [literal];
  }
  const startedAt = performance.now();
  let addresses: readonly string[];
  try {
    addresses = await resolver.resolve(withoutRootDot(hostname));
  } catch (error) {
    const known = classifyError(error);
    // Whoever runs the zone chooses the answer: one we have no name for must not count as ours and be retried for free.
    const failure = known.startsWith('dns_') ? known : 'dns_servfail';
    throw new DialError(failure, codeOf(error), `${hostname} could not be looked up: ${codeOf(error)}`, {
      cause: error,
    });
  } finally {
    progress.dnsMs = performance.now() - startedAt;
  }
  if (addresses.length === 0) throw new DialError('dns_nxdomain', 'ENODATA', `${hostname} has no address`);
  for (const address of addresses) {
    const problem = dialProblem(address, port, policy);
    // Which address is not said: the customer knows their zone, and a stranger should not learn our network by asking.
    if (problem !== null) throw refusal(problem, origin, `${hostname} leads`);
  }
  return addresses.slice(0, ADDRESSES_TRIED_MAX);
}

/** `to`: addresses for a socket of its own, or a tunnel that is open. */
function connected(
  origin: Origin,
  to:
    (ReturnType<typeof addressOptions> & { onread?: net.OnReadOpts }) | { socket: net.Socket; host: string },
  { sockets, connectTimeoutMs, secureContext }: DialOptions,
  progress: DialProgress,
  signal: AbortSignal,
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    progress.phase = 'connect';
    const startedAt = performance.now();
    const options = {
      ...SOCKET_OPTIONS,
      highWaterMark: origin.secure ? 16_384 : 65_536,
      ...to,
      port: origin.port,
    };
    const socket = origin.secure
      ? sockets.secure({
          ...options,
          secureContext,
          // No session is resumed: a resumed one skips the certificate, which may have expired or been taken away since.
          servername: literalAddressOf(origin.hostname) === undefined ? withoutRootDot(origin.hostname) : '',
          ALPNProtocols: ['http/1.1'],
          rejectUnauthorized: true, // said aloud, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing
        })
      : sockets.plain(options);

    // Stays for the socket's life: between here and its connection's listener an error must not be nobody's.
    socket.on('error', () => {});

    let tcpAt = 'socket' in to ? startedAt : undefined;
    if (tcpAt !== undefined) progress.phase = 'tls';
    socket.once('connect', () => {
      tcpAt = performance.now();
      progress.connectMs = tcpAt - startedAt;
      progress.phase = 'tls';
      if (!origin.secure) finish();
    });
    socket.once('secureConnect', () => {
      progress.tlsMs = performance.now() - (tcpAt ?? startedAt);
      finish();
    });
    socket.once('error', onError);
    socket.once('close', onClose);
    const timer = setTimeout(() => fail(timedOut()), connectTimeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });

    function finish(error?: DialError): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      socket.off('close', onClose);
      if (error !== undefined) reject(error);
      else resolve(socket);
    }
    function fail(error: DialError): void {
      finish(error);
      socket.destroy();
    }
    function onAbort(): void {
      fail(givenUp());
    }
    function onClose(): void {
      fail(broken(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
    }
    function onError(error: Error): void {
      fail(broken(error));
    }
    function broken(error: Error): DialError {
      const failure = classifyError(error);
      // Within the handshake a closed connection is an answer about TLS, not about the request; and an error without a name
      // is the receiver's making.
      const unspecific = failure === 'reset_before_response' || failure === 'internal';
      const inHandshake = origin.secure && tcpAt !== undefined && unspecific;
      const code = codeOf(error);
      const what = tcpAt === undefined ? 'connect' : 'TLS handshake';
      return new DialError(inHandshake ? 'tls_handshake' : failure, code, `${what}: ${code}`, {
        cause: error,
      });
    }
    function timedOut(): DialError {
      return tcpAt === undefined
        ? new DialError('connect_timeout', 'TIMEOUT', `no connection within ${connectTimeoutMs} ms`)
        : new DialError('tls_handshake', 'TLS_TIMEOUT', `no TLS handshake within ${connectTimeoutMs} ms`);
    }
  });
}

/** A literal is dialled as it is; a name through a lookup that answers only with what was vetted. */
function addressOptions(origin: Origin, addresses: readonly string[]) {
  const vetted = addresses.map((address) => ({ address, family: net.isIP(address) }));
  if (vetted.length === 1) return { host: vetted[0].address };
  return {
    host: withoutRootDot(origin.hostname),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ATTEMPT_PER_ADDRESS_MS,
    lookup: ((_host, _options, callback) => {
      (callback as (error: null, all: typeof vetted) => void)(null, vetted);
    }) as net.LookupFunction,
  };
}

function givenUp(): DialError {
  return new DialError('internal', 'ABORTED', 'given up');
}

function refusal(problem: 'blocked_address' | 'blocked_port', { port }: Origin, what: string): DialError {
  return problem === 'blocked_address'
    ? new DialError(problem, 'BLOCKED_ADDRESS', `${what} to an address that is not on the public internet`)
    : new DialError(
        problem,
        'BLOCKED_PORT',
        `${what} to port ${port}, which is not one that events are delivered to`,
      );
}

/** `hooks.example.com.` is the same host, but neither SNI nor a certificate has the dot. */
function withoutRootDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname;
}

/** A short code and never a message: Node's messages carry addresses. */
export function codeOf(error: unknown): string {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === 'string') return code.slice(0, 64);
  return cause === undefined ? 'UNKNOWN' : codeOf(cause);
}
