import { timingSafeEqual, verify as verifyEd25519 } from 'node:crypto';
import { isPublicKey, parsePublicKey } from './ed25519.js';
import { parseSecret } from './secrets.js';
import { hmac, signedContent } from './sign.js';

export type VerifyFailure =
  | 'missing_header'
  | 'invalid_timestamp'
  | 'timestamp_too_old'
  | 'timestamp_too_new'
  | 'no_matching_signature';

export type VerifyResult =
  | { readonly ok: true; readonly id: string; readonly timestamp: number }
  | { readonly ok: false; readonly reason: VerifyFailure };

export interface VerifyOptions {
  /** How far the sender's clock may be from ours, either way. Five minutes, as the reference libraries have it. */
  readonly toleranceSeconds?: number;
  readonly now: Date;
}

// A sender has two or three live secrets; a header with thousands of signatures only wants our processor.
const SIGNATURES_MAX = 32;

/**
 * Whether a request is from who holds one of the secrets, and fresh. A secret is a `whsec_…` (it verifies `v1`) or a
 * public key `whpk_…` (it verifies `v1a`). Header names in any case, as Node or a framework hands them over. Throws
 * InvalidSecretError for a secret that is none: that is the receiver's configuration, not the request. Remember ids for
 * twice the tolerance to refuse replays.
 */
export function verify(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  body: string | Buffer,
  secrets: readonly string[],
  { toleranceSeconds = 300, now }: VerifyOptions,
): VerifyResult {
  const id = header(headers, 'webhook-id');
  const timestampText = header(headers, 'webhook-timestamp');
  const signatures = header(headers, 'webhook-signature');
  if (!id || !timestampText || !signatures) return refuse('missing_header');

  // Digits only: Number() would also take ' 1 ', '1e9' and '0x1', which another reader signs as something else.
  if (!/^\d{1,15}$/.test(timestampText)) return refuse('invalid_timestamp');
  const timestamp = Number(timestampText);
  const ageSeconds = Math.floor(now.getTime() / 1000) - timestamp;
  if (ageSeconds > toleranceSeconds) return refuse('timestamp_too_old');
  if (ageSeconds < -toleranceSeconds) return refuse('timestamp_too_new');

  const list = signatures.split(' ', SIGNATURES_MAX);
  // Every pair is compared, also after a match: the time tells nothing about which secret fits.
  let matched = false;
  for (const secret of secrets) {
    const matches = isPublicKey(secret)
      ? matchesKey(secret, id, timestamp, body, list)
      : matchesSecret(secret, id, timestamp, body, list);
    if (matches) matched = true;
  }
  return matched ? { ok: true, id, timestamp } : refuse('no_matching_signature');
}

function matchesSecret(
  secret: string,
  id: string,
  timestamp: number,
  body: string | Buffer,
  list: readonly string[],
): boolean {
  const expected = hmac(parseSecret(secret), id, timestamp, body).digest();
  let matched = false;
  for (const given of signaturesOf('v1', list))
    if (given.length === expected.length && timingSafeEqual(given, expected)) matched = true;
  return matched;
}

function matchesKey(
  publicKey: string,
  id: string,
  timestamp: number,
  body: string | Buffer,
  list: readonly string[],
): boolean {
  const key = parsePublicKey(publicKey);
  const content = signedContent(id, timestamp, body);
  return signaturesOf('v1a', list).some((given) => verifyEd25519(null, content, key, given));
}

function signaturesOf(version: 'v1' | 'v1a', list: readonly string[]): Buffer[] {
  const start = `${version},`;
  return list
    .filter((each) => each.startsWith(start))
    .map((each) => Buffer.from(each.slice(start.length), 'base64'));
}

function header(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  name: string,
): string | undefined {
  const key = Object.hasOwn(headers, name)
    ? name
    : Object.keys(headers).find((each) => each.toLowerCase() === name);
  const value = key === undefined ? undefined : headers[key];
  return typeof value === 'string' ? value : value?.[0];
}

function refuse(reason: VerifyFailure): VerifyResult {
  return { ok: false, reason };
}
