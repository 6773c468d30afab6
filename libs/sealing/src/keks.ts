import { KEY_BYTES, type SecretRandom } from './aead.js';

/** A key-encryption key: it wraps data keys and nothing else. */
export interface Kek {
  id: string;
  bytes: Buffer;
}

/** What is wrong with a text of KEKs, in words that repeat nothing of it. */
export class KeksError extends Error {
  override readonly name = 'KeksError';
}

const ID = /^[a-z0-9-]{1,32}$/;
// One that is primary and those that a rotation has not finished with; more is a mistake.
const KEKS_MAX = 16;

/** `id:base64(32 bytes)`, separated by commas or line ends, the primary one first. @throws KeksError */
export function parseKeks(text: string): Kek[] {
  const parts = text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0 || parts.length > KEKS_MAX)
    throw new KeksError(`it has 1 to ${KEKS_MAX} keys, each as id:base64, separated by commas`);
  const keks = parts.map((part, at) => parseKek(part, at + 1));
  if (new Set(keks.map(({ id }) => id)).size < keks.length) throw new KeksError('it has an id twice');
  if (new Set(keks.map(({ bytes }) => bytes.toString('base64'))).size < keks.length)
    throw new KeksError('it has a key twice, under two ids');
  return keks;
}

function parseKek(part: string, nth: number): Kek {
  const colon = part.indexOf(':');
  const id = part.slice(0, Math.max(colon, 0));
  // Not repeated: without a colon it may be the key itself.
  if (!ID.test(id))
    throw new KeksError(`key ${nth} must begin with an id of 1 to 32 of a-z, 0-9 and -, and a colon`);
  const base64 = part.slice(colon + 1);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== base64)
    throw new KeksError(
      `key ${nth} must be ${KEY_BYTES} bytes in standard base64 after its colon: \`openssl rand -base64 ${KEY_BYTES}\` makes one`,
    );
  if (bytes.every((byte) => byte === bytes[0]))
    throw new KeksError(`key ${nth} is no key: all its bytes are equal`);
  return { id, bytes };
}

const ID_BYTES_NEW = 4;

/** A new KEK as its line of a key file. Its id is random: a lost key is then seen to be missing, not taken for wrong. */
export function newKekText(random: SecretRandom): string {
  const id = `k-${Buffer.from(random.bytes(ID_BYTES_NEW)).toString('hex')}`;
  return `${id}:${Buffer.from(random.bytes(KEY_BYTES)).toString('base64')}`;
}
