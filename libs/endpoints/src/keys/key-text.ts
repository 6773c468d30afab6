import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { toPublicId, type Random } from '@app/domain';

// `ph_` and the environment say whose and what it is, to a person and to a secret scanner.
const PREFIX = 'ph_live_';
const SECRET_BYTES = 32;
const CHECKSUM_LENGTH = 6;
const FORM = /^ph_live_[0-9a-z]{26}_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/;

/** The text of a key: the suffix of its id, 32 random bytes, and a checksum over both. Nobody keeps it but its owner. */
export function makeKeyText(id: string, random: Random): string {
  const suffix = toPublicId('key', id).slice('key_'.length);
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url');
  const text = `${PREFIX}${suffix}_${secret}`;
  return text + checksum(text);
}

/** SHA-256: the secret has 256 random bits, so a slow hash would protect nothing more and cost every request. */
export function hashKey(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * False for one of our keys with a typing error: refused without asking the database. A text of another form may be
 * an operator's own POSTHORN_ADMIN_KEY.
 */
export function mayBeKey(text: string): boolean {
  if (!FORM.test(text)) return true;
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
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
