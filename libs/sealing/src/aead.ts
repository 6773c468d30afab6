import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { SealError } from './seal-error.js';

const ALGORITHM = 'aes-256-gcm';
// The form of what follows; a byte, so that another algorithm can stand beside this one some day.
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;
export const KEY_BYTES = 32;
/** How much longer than the plain bytes a sealed value is. */
export const OVERHEAD_BYTES = HEAD_BYTES + TAG_BYTES;

/** Where chance comes from; must be fit for secrets (the domain's systemRandom is). */
export interface SecretRandom {
  bytes(n: number): Uint8Array;
}

/** `version | nonce | ciphertext | tag`. `context` is bound to it and not part of it. */
export function encrypt(key: KeyObject, random: SecretRandom, context: string[], plain: Uint8Array): Buffer {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(additionalData(context));
  const body = cipher.update(plain);
  cipher.final();
  return Buffer.concat([Buffer.of(VERSION), nonce, body, cipher.getAuthTag()]);
}

/** @throws SealError not_authentic: another key, another context, or a changed byte; which one nobody can tell */
export function decrypt(key: KeyObject, context: string[], sealed: Uint8Array): Buffer {
  if (sealed.length < OVERHEAD_BYTES || sealed[0] !== VERSION) throw notAuthentic(context);
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(1, HEAD_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(additionalData(context));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(HEAD_BYTES, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    throw notAuthentic(context);
  }
  return plain;
}

/** JSON of a list of texts: no two lists have the same. The version is in it, so that it cannot be changed either. */
function additionalData(context: string[]): Buffer {
  return Buffer.from(JSON.stringify(['posthorn', VERSION, ...context]));
}

/** The context is ids and names, never a value. */
function notAuthentic(context: string[]): SealError {
  return new SealError(
    'not_authentic',
    `Sealed bytes do not belong to ${context.join('/')}, or were changed`,
  );
}
