import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { InvalidSecretError, parsePrefixed } from './secrets.js';

const PRIVATE_PREFIX = 'whsk_';
const PUBLIC_PREFIX = 'whpk_';
const SEED_BYTES = 32;
const PUBLIC_BYTES = 32;
// What stands before the 32 bytes in PKCS #8 and SPKI (RFC 8410): Node takes Ed25519 keys in no rawer form.
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

/** A public key as RFC 8037 writes it. `kid` is its RFC 7638 thumbprint: whoever has the key can compute it. */
export interface PublicJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  alg: 'EdDSA';
  use: 'sig';
  kid: string;
  x: string;
}

/** A new private key, `whsk_` and base64 of the 64 bytes seed and public key. `random.bytes` must be fit for secrets. */
export function generatePrivateKey(random: { bytes(n: number): Uint8Array }): string {
  const seed = Buffer.from(random.bytes(SEED_BYTES));
  return PRIVATE_PREFIX + Buffer.concat([seed, publicBytesOf(privateKeyOfSeed(seed))]).toString('base64');
}

/** `whpk_…` of `whsk_…`. Throws InvalidSecretError. */
export function publicKeyOf(privateKey: string): string {
  return PUBLIC_PREFIX + publicBytesOf(parsePrivateKey(privateKey)).toString('base64');
}

/** The key inside `whsk_…`, ready to sign with. Throws InvalidSecretError, also when its public half is not that of its seed. */
export function parsePrivateKey(text: string): KeyObject {
  const length = SEED_BYTES + PUBLIC_BYTES;
  const form = { prefix: PRIVATE_PREFIX, what: 'An ed25519 private key', bytesMin: length, bytesMax: length };
  const bytes = parsePrefixed(text, form);
  const key = privateKeyOfSeed(bytes.subarray(0, SEED_BYTES));
  if (!publicBytesOf(key).equals(bytes.subarray(SEED_BYTES)))
    throw new InvalidSecretError('halves_differ', 'The public half of the key is not that of its seed');
  return key;
}

/** The key inside `whpk_…`, ready to verify with. Throws InvalidSecretError. */
export function parsePublicKey(text: string): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, publicBytes(text)]), format: 'der', type: 'spki' });
}

export function isPublicKey(text: string): boolean {
  return text.startsWith(PUBLIC_PREFIX);
}

export function isPrivateKey(text: string): boolean {
  return text.startsWith(PRIVATE_PREFIX);
}

/** `whpk_…` for those who read JWKs. Throws InvalidSecretError. */
export function publicJwk(publicKey: string): PublicJwk {
  const x = publicBytes(publicKey).toString('base64url');
  // RFC 7638: the required members in this order, without blanks.
  const kid = createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
  return { kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA', use: 'sig', kid, x };
}

function publicBytes(text: string): Buffer {
  const form = {
    prefix: PUBLIC_PREFIX,
    what: 'An ed25519 public key',
    bytesMin: PUBLIC_BYTES,
    bytesMax: PUBLIC_BYTES,
  };
  return parsePrefixed(text, form);
}

function privateKeyOfSeed(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}

function publicBytesOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD.length);
}
