import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { fromPublicId, toPublicId, type Random } from '@app/domain';

/** An API key, or the access token that a customer was given. */
export type CredentialKind = 'key' | 'token';

// They say to a person and to a secret scanner whose and what it is.
const MARKS: Record<CredentialKind, { text: string; id: 'key' | 'tok' }> = {
  key: { text: 'ph', id: 'key' },
  token: { text: 'pht', id: 'tok' },
};
const SECRET_BYTES = 32;
const CHECKSUM_LENGTH = 6;
const FORM = /^(pht?)_([a-z]{2,8})_([0-9a-z]{26})_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/;

/**
 * `ph_live_…` or `pht_live_…`: the environment, the suffix of its id, 32 random bytes, and a checksum over all of it.
 * Nobody keeps it but its owner.
 */
export function makeKeyText(kind: CredentialKind, environment: string, id: string, random: Random): string {
  const mark = MARKS[kind];
  const suffix = toPublicId(mark.id, id).slice(mark.id.length + 1);
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url');
  const text = `${mark.text}_${environment}_${suffix}_${secret}`;
  return text + checksum(text);
}

/** SHA-256: the secret has 256 random bits, so a slow hash would protect nothing more and cost every request. */
export function hashKey(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** What a text says of itself. */
export interface KeyText {
  kind: CredentialKind;
  environment: string;
  /** uuid of the key or token. */
  id: string;
}

/**
 * Reads a text of our form. `mistyped`: it has the form, but not the checksum, so nobody need be asked about it. Null: a
 * text of another form, which may be an operator's own POSTHORN_ADMIN_KEY.
 */
export function readKeyText(text: string): KeyText | 'mistyped' | null {
  const [, mark, environment, suffix] = FORM.exec(text) ?? [];
  if (mark === undefined) return null;
  const kind = mark === MARKS.key.text ? 'key' : 'token';
  const id = fromPublicId(MARKS[kind].id, `${MARKS[kind].id}_${suffix}`);
  if (id === undefined || checksum(text.slice(0, -CHECKSUM_LENGTH)) !== text.slice(-CHECKSUM_LENGTH))
    return 'mistyped';
  return { kind, environment, id };
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** CRC-32 in base 62: six characters hold it. */
function checksum(text: string): string {
  let rest = crc32(text);
  let out = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    out = BASE62[rest % 62] + out;
    rest = Math.floor(rest / 62);
  }
  return out;
}
