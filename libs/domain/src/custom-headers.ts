export type HeaderProblemCode =
  'too_many' | 'invalid_name' | 'reserved_name' | 'duplicate_name' | 'invalid_value';

/** One reason why a set of custom headers is refused. Never repeats a value: values are secrets. */
export interface HeaderProblem {
  readonly name: string;
  readonly code: HeaderProblemCode;
  readonly message: string;
}

export const HEADERS_MAX = 20;
export const HEADER_NAME_LENGTH_MAX = 128;
export const HEADER_VALUE_BYTES_MAX = 4096;

/**
 * What is wrong with the headers a customer wants on every request; empty when nothing is. Checked when they are saved:
 * a header that cannot be sent would otherwise fail every attempt, three days long.
 */
export function checkCustomHeaders(headers: Readonly<Record<string, string>>): HeaderProblem[] {
  const problems: HeaderProblem[] = [];
  // Own keys only and a Set, not an object: `constructor` is a fair header name, `__proto__` a trap.
  const entries = Object.entries(headers);
  if (entries.length > HEADERS_MAX) {
    problems.push({ name: '', code: 'too_many', message: `At most ${HEADERS_MAX} headers.` });
  }
  const seen = new Set<string>();
  for (const [name, value] of entries.slice(0, HEADERS_MAX)) {
    const problem = checkName(name, seen) ?? checkValue(name, value);
    if (problem) problems.push(problem);
    seen.add(name.toLowerCase());
  }
  return problems;
}

/**
 * What of a stored set is sent: a row may be older than a rule, and `Webhook-Id` beside our `webhook-id` would
 * be two headers on the wire, of which some receivers read the wrong one.
 */
export function sendableHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const seen = new Set<string>();
  const sendable: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (checkName(name, seen) !== undefined || checkValue(name, value) !== undefined) continue;
    seen.add(name.toLowerCase());
    sendable[name] = value;
  }
  return sendable;
}

/** RFC 9110 token: what may stand left of the colon. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function checkName(name: string, seen: ReadonlySet<string>): HeaderProblem | undefined {
  const shown = name.slice(0, HEADER_NAME_LENGTH_MAX);
  if (!TOKEN.test(name) || name.length > HEADER_NAME_LENGTH_MAX) {
    return {
      name: shown,
      code: 'invalid_name',
      message: 'Not a header name: letters, digits and - _ . only.',
    };
  }
  const lower = name.toLowerCase();
  if (RESERVED.has(lower) || RESERVED_PREFIXES.some((prefix) => lower.startsWith(prefix))) {
    return {
      name: shown,
      code: 'reserved_name',
      message: `The header ${lower} is set by us or not for sending.`,
    };
  }
  if (seen.has(lower)) {
    // Both copies would be sent, and receivers disagree on which one counts.
    return { name: shown, code: 'duplicate_name', message: `The header ${lower} is given twice.` };
  }
  return undefined;
}

// Latin-1, visible, blanks only inside: what the wire can carry without another reading on the far side.
const VISIBLE = /^[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa1-\xff]*[\x21-\x7e\xa1-\xff])?$/;

function checkValue(name: string, value: unknown): HeaderProblem | undefined {
  // Each Latin-1 character is one byte on the wire, so the length is the bytes.
  if (typeof value !== 'string' || value.length > HEADER_VALUE_BYTES_MAX || !VISIBLE.test(value)) {
    const message = `A value is 1 to ${HEADER_VALUE_BYTES_MAX} visible Latin-1 characters, without blanks at its ends.`;
    return { name, code: 'invalid_value', message };
  }
  return undefined;
}

/** Ours, hop-by-hop, about caching or identity, or the key to somebody's metadata service. */
const RESERVED: ReadonlySet<string> = new Set([
  '__proto__',
  // framing and hop-by-hop: the sender's
  ...'connection content-length expect host http2-settings keep-alive proxy-connection te'.split(' '),
  ...'trailer trailers transfer-encoding upgrade via max-forwards'.split(' '),
  // set by us on every request
  ...'accept-encoding content-digest content-encoding content-location content-range content-type'.split(' '),
  ...'baggage date digest idempotency-key repr-digest signature signature-input'.split(' '),
  ...'traceparent tracestate user-agent x-request-id'.split(' '),
  // say who is calling, to a proxy that believes it
  ...'client-ip cf-connecting-ip forwarded true-client-ip x-client-ip x-cluster-client-ip'.split(' '),
  ...'x-original-url x-real-ip x-remote-addr x-remote-ip x-rewrite-url'.split(' '),
  // change what the request is
  ...'x-http-method x-http-method-override x-method-override'.split(' '),
  // state and caching, without a meaning in a webhook
  ...'age allow cache-control clear-site-data cookie cookie2 expires last-modified location'.split(' '),
  ...'origin pragma referer retry-after server set-cookie set-cookie2 vary warning'.split(' '),
  ...'www-authenticate'.split(' '),
  // open a cloud's metadata service
  ...'metadata metadata-flavor x-metadata-token x-identity-header'.split(' '),
]);

const RESERVED_PREFIXES: readonly string[] = [
  ...'webhook- posthorn- x-posthorn- svix- ce-'.split(' '),
  ...'proxy- sec- access-control- if- x-forwarded- x-envoy- cdn- cf-'.split(' '),
  ...'x-amz- x-amzn- x-aws- x-goog- x-google- x-gcp- x-appengine- x-azure- x-ms- x-fd-'.split(' '),
  ...'x-metadata- x-oracle- x-alibaba-'.split(' '),
];
