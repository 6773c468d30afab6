/**
 * Who has to do something about it. `receiver`: the customer's side; burns a try and counts against the endpoint.
 * `platform`: we do; burns nothing and counts against no one. `config`: whoever registered the endpoint; trying the same
 * thing again cannot help.
 */
export type ChargeTo = 'receiver' | 'platform' | 'config';

/**
 * What follows by default. `retry`: the same request may succeed later. `permanent`: it will not, so the delivery fails at
 * once (an endpoint may ask to retry plain 4xx all the same). `disable`: the receiver is gone; the endpoint goes with it.
 */
export type FailureAction = 'retry' | 'permanent' | 'disable';

interface Failure {
  readonly chargeTo: ChargeTo;
  readonly action: FailureAction;
}

const RECEIVER: Failure = { chargeTo: 'receiver', action: 'retry' };
const REFUSED: Failure = { chargeTo: 'receiver', action: 'permanent' };
const GONE: Failure = { chargeTo: 'receiver', action: 'disable' };
const PLATFORM: Failure = { chargeTo: 'platform', action: 'retry' };
const CONFIG: Failure = { chargeTo: 'config', action: 'permanent' };

/** Every way an attempt can fail. Closed: lists filter by it, metrics are labelled by it, so a new one is a decision. */
export const FAILURES = {
  dns_nxdomain: RECEIVER, // the name does not exist or has no address
  dns_servfail: RECEIVER, // a name server answered with an error
  dns_timeout: RECEIVER,
  blocked_address: CONFIG, // the name or literal leads to an address we never dial
  blocked_port: CONFIG,
  proxy_refused: CONFIG, // the operator's egress proxy does not let this address out
  // The way out is broken, or its far end is: which, the proxy cannot be believed about. Charged to receivers, an outage of
  // the proxy would open every circuit and disable endpoints that work.
  proxy_failed: PLATFORM,
  connect_refused: RECEIVER,
  connect_timeout: RECEIVER,
  unreachable: RECEIVER, // no route to host or network
  tls_cert_expired: RECEIVER, // or not yet valid
  tls_name_mismatch: RECEIVER,
  tls_untrusted: RECEIVER, // self-signed, or a chain we cannot follow
  tls_client_refused: RECEIVER, // the receiver wants a client certificate, or another one than its endpoint has
  tls_handshake: RECEIVER, // no common version, plain text on a TLS port, broke off or hung within the handshake
  reset_before_response: RECEIVER, // the connection ended before a byte of the answer
  header_timeout: RECEIVER, // an answer began (also 1xx) and its head did not end by the deadline
  header_overflow: RECEIVER, // a head larger than we read
  response_timeout: RECEIVER, // nothing came by the deadline
  incomplete_response: RECEIVER, // an answer began and broke off or was not HTTP
  redirect: REFUSED, // 3xx; never followed
  http_4xx: REFUSED,
  retry_later_408_425: RECEIVER, // the only other 4xx that ask to be tried again
  gone_410: GONE,
  rate_limited_429: RECEIVER,
  http_5xx: RECEIVER,
  gateway_502_504: RECEIVER,
  // Asking for an access token burns a try as a dead receiver does: both come back by themselves or are mended by the customer.
  token_refused: RECEIVER, // the token server knows us not, or not any more
  token_unavailable: RECEIVER, // it could not be reached, or answered with something else than a token
  verification_failed: CONFIG, // an answer, but not the one that proves who is there
  config_invalid: CONFIG, // URL or headers that no request can be made of
  payload_too_large_413: REFUSED,
  receiver_abort: REFUSED, // not 2xx, and the receiver said `webhook-delivery: abort-message`
  expired: CONFIG, // older than its policy's age when its turn came; no request was made
  internal: PLATFORM, // ours: no file handles, shutting down, a bug
} as const satisfies Record<string, Failure>;

export type FailureClass = keyof typeof FAILURES;
export const FAILURE_CLASSES = Object.keys(FAILURES) as FailureClass[];

export function isFailureClass(text: string): text is FailureClass {
  return Object.hasOwn(FAILURES, text);
}

/** null is success: 2xx and nothing else. */
export function classifyStatus(status: number): FailureClass | null {
  if (status >= 200 && status < 300) return null;
  switch (status) {
    case 408:
    case 425:
      return 'retry_later_408_425';
    case 410:
      return 'gone_410';
    case 413:
      return 'payload_too_large_413';
    case 429:
      return 'rate_limited_429';
    case 502:
    case 504:
      return 'gateway_502_504';
  }
  if (status < 200) return 'incomplete_response';
  if (status < 400) return 'redirect';
  return status < 500 ? 'http_4xx' : 'http_5xx';
}

/**
 * The class of a network error by its code, its causes' codes, or the first of an AggregateError's. Never by its text:
 * that is OpenSSL's and Node's to change. What has no known code is ours.
 */
export function classifyError(error: unknown): FailureClass {
  return classOf(error, 0) ?? 'internal';
}

// Deep enough for an error around an AggregateError around a socket's; a cycle must end somewhere.
const CAUSE_DEPTH_MAX = 4;

function classOf(error: unknown, depth: number): FailureClass | undefined {
  if (typeof error !== 'object' || error === null || depth > CAUSE_DEPTH_MAX) return undefined;
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown };
  const own = typeof code === 'string' ? classOfCode(code) : undefined;
  if (own !== undefined) return own;
  const inner = classOf(cause, depth + 1);
  if (inner !== undefined || !Array.isArray(errors)) return inner;
  for (const each of errors.slice(0, 16)) {
    const found = classOf(each, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function classOfCode(code: string): FailureClass | undefined {
  const known = BY_CODE.get(code);
  if (known !== undefined) return known;
  if (CLIENT_REFUSED.test(code)) return 'tls_client_refused';
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return 'tls_handshake';
  return undefined;
}

// Alerts that a server sends about its client's certificate. What stands before ALERT changes with OpenSSL's versions.
const CLIENT_REFUSED =
  /^ERR_SSL_.*_ALERT_(?:CERTIFICATE_REQUIRED|(?:BAD|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN)|UNKNOWN_CA|ACCESS_DENIED)$/;

const BY_CODE: ReadonlyMap<string, FailureClass> = new Map(
  Object.entries({
    dns_nxdomain: ['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA', 'EBADNAME'],
    dns_servfail: [
      'ESERVFAIL',
      'EREFUSED',
      'EFORMERR',
      'ENOTIMP',
      'EBADRESP',
      'EBADQUERY',
      'EAI_AGAIN',
      'EAI_FAIL',
    ],
    dns_timeout: ['ETIMEOUT', 'ECANCELLED'],
    connect_refused: ['ECONNREFUSED'],
    connect_timeout: ['ETIMEDOUT'],
    unreachable: ['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EACCES', 'EPERM', 'EAFNOSUPPORT'],
    tls_cert_expired: ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'],
    tls_name_mismatch: ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'],
    tls_untrusted: [
      ...'DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_VERIFY_LEAF_SIGNATURE'.split(' '),
      ...'UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_ISSUER_CERT_LOCALLY UNABLE_TO_DECRYPT_CERT_SIGNATURE'.split(
        ' ',
      ),
      ...'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY CERT_SIGNATURE_FAILURE CERT_UNTRUSTED CERT_REJECTED'.split(' '),
      ...'CERT_REVOKED CERT_CHAIN_TOO_LONG INVALID_CA INVALID_PURPOSE PATH_LENGTH_EXCEEDED'.split(' '),
      ...'ERROR_IN_CERT_NOT_BEFORE_FIELD ERROR_IN_CERT_NOT_AFTER_FIELD'.split(' '),
    ],
    tls_handshake: ['EPROTO'],
    reset_before_response: ['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'CLOSED'], // CLOSED is connection.ts's own: an end instead of an answer
    config_invalid: ['ERR_INVALID_URL', 'ERR_INVALID_CHAR'],
    // Our machine's limits, whoever we were calling.
    internal: ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EADDRINUSE'],
  } satisfies Partial<Record<FailureClass, string[]>>).flatMap(([failure, codes]) =>
    codes.map((code): [string, FailureClass] => [code, failure as FailureClass]),
  ),
);
