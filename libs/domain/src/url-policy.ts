import { addressVerdict } from './address-policy.js';
import type { AllowList } from './address-policy.js';

export const URL_LENGTH_MAX = 2048;

export type UrlProblemCode =
  'url_too_long' | 'url_malformed' | 'url_scheme' | 'url_userinfo' | 'url_port' | 'url_blocked_address';

/** `url` is the serialised WHATWG form without a fragment: the only form that is stored, signed for and dialled. */
export type UrlCheck = { ok: true; url: string } | { ok: false; code: UrlProblemCode; message: string };

// Control characters, blanks and DEL anywhere. WHATWG would drop tabs and newlines and trim the ends silently, so that
// what was reviewed is not what is dialled.
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u0020\u007f-\u00a0\u2028\u2029\ufeff]/;

/**
 * Whether a customer may register this URL, in the words they are shown. http and https both pass for now; names,
 * further ports and an https-only switch belong to the security boundary that comes later.
 */
export function checkEndpointUrl(raw: string, allow: AllowList): UrlCheck {
  if (raw.length > URL_LENGTH_MAX) {
    return refuse('url_too_long', `The URL is longer than ${URL_LENGTH_MAX} characters.`);
  }
  if (UNPRINTABLE.test(raw) || raw.includes('\\')) {
    return refuse('url_malformed', 'The URL contains blanks, control characters or backslashes.');
  }
  if (!/^https?:/i.test(raw)) return refuse('url_scheme', 'The URL must start with https:// or http://.');
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
  if (url.port === '0') return refuse('url_port', 'Port 0 cannot be connected to.');
  const literal = literalAddressOf(url.hostname);
  if (literal !== undefined && addressVerdict(literal, allow) === 'forbidden') {
    return refuse('url_blocked_address', 'The URL names an address that is not on the public internet.');
  }
  url.hash = '';
  const text = url.href;
  // Serialising percent-encodes: a text under the limit may come out above it.
  if (text.length > URL_LENGTH_MAX) {
    return refuse('url_too_long', `The URL is longer than ${URL_LENGTH_MAX} characters.`);
  }
  return { ok: true, url: text };
}

/** The address when a WHATWG host name is one (`[::1]` without its brackets), else undefined. */
export function literalAddressOf(hostname: string): string | undefined {
  if (hostname.startsWith('[')) return hostname.slice(1, -1);
  // WHATWG has normalised every spelling of IPv4 to this one, and refuses names whose last label is a number.
  return /^\d+\.\d+\.\d+\.\d+$/.test(hostname) ? hostname : undefined;
}

function refuse(code: UrlProblemCode, message: string): UrlCheck {
  return { ok: false, code, message };
}
