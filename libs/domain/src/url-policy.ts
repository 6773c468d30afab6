import { addressVerdict, dialProblem, REFUSED_PORTS } from './address-policy.js';
import type { AddressPolicy } from './address-policy.js';
import { hostNameProblem, isLocalhost, opens } from './host-names.js';
import type { HostList } from './host-names.js';

export const URL_LENGTH_MAX = 2048;

export type UrlProblemCode =
  | 'url_too_long'
  | 'url_malformed'
  | 'url_scheme'
  | 'url_userinfo'
  | 'url_host'
  | 'url_port'
  | 'url_blocked_address';

/** What may be dialled, as an operator has it. One object, made once from the configuration, for the api and the worker. */
export interface UrlPolicy {
  readonly addresses: AddressPolicy;
  /** Names that may be dialled though they are not of the public DNS. */
  readonly hosts: HostList;
  /** Plain http to everybody, not only to what the two lists open. */
  readonly http: boolean;
}

/** `url` is the serialised WHATWG form without a fragment: the only form that is stored, signed for and dialled. */
export type UrlCheck = { ok: true; url: string } | { ok: false; code: UrlProblemCode; message: string };

// Control characters, blanks and DEL anywhere. WHATWG would drop tabs and newlines and trim the ends silently, so that
// what was reviewed is not what is dialled.
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff]/;

/**
 * Whether a URL of a customer's may be dialled as far as it tells by itself, in the words they are shown. Asked when it is
 * registered, changed and tested, and again for each request: the policy may have changed since, and a row may be older
 * than its rules. What a name leads to is judged when it is dialled.
 */
export function checkEndpointUrl(raw: string, policy: UrlPolicy): UrlCheck {
  if (raw.length > URL_LENGTH_MAX) {
    return refuse('url_too_long', `The URL is longer than ${URL_LENGTH_MAX} characters.`);
  }
  if (UNPRINTABLE.test(raw) || raw.includes('\\')) {
    return refuse('url_malformed', 'The URL contains blanks, control characters or backslashes.');
  }
  if (!/^https?:/i.test(raw)) return refuse('url_scheme', 'The URL must start with https://.');
  // `http:host`, `http:/host` and `http:///host` are repaired by WHATWG into something else than they look like.
  if (!/^https?:\/\/[^/\\]/i.test(raw))
    return refuse('url_malformed', 'The URL has no host after its scheme.');
  const url = URL.parse(raw);
  if (url === null) return refuse('url_malformed', 'This is not a valid URL.');
  // Also an empty one (`https://@host`): the parser forgets it, a reader may not.
  const authority = raw.slice(raw.indexOf('//') + 2).split(/[/?#]/, 1)[0];
  if (url.username !== '' || url.password !== '' || authority.includes('@')) {
    return refuse('url_userinfo', 'The URL must not contain a user name or password.');
  }
  // The same host, but neither SNI nor a certificate has the dot. One only: two are an empty label, which is refused.
  if (/[^.]\.$/.test(url.hostname)) url.hostname = url.hostname.slice(0, -1);
  const problem = hostProblem(url, policy);
  if (problem !== undefined) return problem;
  url.hash = '';
  const text = url.href;
  // Serialising percent-encodes: a text under the limit may come out above it.
  if (text.length > URL_LENGTH_MAX) {
    return refuse('url_too_long', `The URL is longer than ${URL_LENGTH_MAX} characters.`);
  }
  return { ok: true, url: text };
}

function hostProblem(url: URL, policy: UrlPolicy): UrlCheck | undefined {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  const literal = literalAddressOf(url.hostname);
  const problem = literal === undefined ? nameProblem(url.hostname, policy) : undefined;
  if (problem !== undefined) return refuse('url_host', problem);
  // What another name leads to is not known before it is dialled.
  const ip = literal ?? (isLocalhost(url.hostname) ? LOOPBACK : undefined);
  const refused = ip === undefined ? undefined : dialProblem(ip, port, policy.addresses);
  if (refused === 'blocked_address')
    return refuse('url_blocked_address', 'The URL names an address that is not on the public internet.');
  if (refused === 'blocked_port' || REFUSED_PORTS.has(port))
    return refuse('url_port', `Port ${port} is not one that events are delivered to.`);
  if (url.protocol === 'http:' && !policy.http && !isOpened(url.hostname, literal, policy))
    return refuse('url_scheme', 'The URL must start with https://.');
  return undefined;
}

/** An operator named this very host, or its network. */
function isOpened(hostname: string, literal: string | undefined, policy: UrlPolicy): boolean {
  if (literal !== undefined) return addressVerdict(literal, policy.addresses) === 'allowed';
  return opens(policy.hosts, hostname) || opensLoopback(hostname, policy);
}

function nameProblem(hostname: string, policy: UrlPolicy): string | undefined {
  return hostNameProblem(hostname, opensLoopback(hostname, policy) ? [hostname] : policy.hosts);
}

/** `localhost` is 127.0.0.1 for us (see DnsResolver), so who opens that network means the name too. */
function opensLoopback(hostname: string, { addresses }: UrlPolicy): boolean {
  return isLocalhost(hostname) && addressVerdict(LOOPBACK, addresses) === 'allowed';
}

const LOOPBACK = '127.0.0.1';

/** The address when a WHATWG host name is one (`[::1]` without its brackets), else undefined. */
export function literalAddressOf(hostname: string): string | undefined {
  if (hostname.startsWith('[')) return hostname.slice(1, -1);
  // WHATWG has normalised every spelling of IPv4 to this one, and refuses names whose last label is a number.
  return /^\d+\.\d+\.\d+\.\d+$/.test(hostname) ? hostname : undefined;
}

function refuse(code: UrlProblemCode, message: string): UrlCheck {
  return { ok: false, code, message };
}
