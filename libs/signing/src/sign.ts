import { createHmac, createSecretKey, sign as signEd25519, type Hmac, type KeyObject } from 'node:crypto';
import { isPrivateKey, parsePrivateKey, publicJwk, publicKeyOf } from './ed25519.js';
import { KeptKeys } from './kept-keys.js';
import { parseSecret } from './secrets.js';

export interface SignInput {
  /** The event's id, equal in every retry. */
  readonly id: string;
  /** Unix seconds of this attempt. */
  readonly timestamp: number;
  /** Exactly the bytes that are sent. */
  readonly body: string | Buffer;
  /**
   * One signature each, in this order: `v1` with a `whsec_…`, `v1a` with a `whsk_…`. Newest first; private keys before
   * secrets, because a receiver written in Elixir looks at the last signature only, and knows `v1` alone.
   */
  readonly secrets: readonly string[];
}

/** The value of `webhook-signature`: `v1,<base64>` or `v1a,<base64>` for each secret, separated by blanks. */
export function sign({ id, timestamp, body, secrets }: SignInput): string {
  if (secrets.length === 0) throw new Error('Bug: signing without a secret');
  if (!Number.isSafeInteger(timestamp))
    throw new Error(`Bug: a timestamp is whole seconds, not ${timestamp}`);
  // A dot in the id would let one id and timestamp be read as another.
  if (id === '' || id.includes('.')) throw new Error(`Bug: an id is not empty and has no dot: ${id}`);
  let header = '';
  for (const secret of secrets) {
    const key = keys.of(secret);
    const signature =
      key.version === 'v1'
        ? hmac(key.secretKey, id, timestamp, body).digest('base64')
        : signEd25519(null, signedContent(id, timestamp, body), key.privateKey).toString('base64');
    header += `${header === '' ? '' : ' '}${key.version},${signature}`;
  }
  return header;
}

/** The ids of the private keys among these secrets, in their order: what tells a receiver which public key to take. */
export function keyIdsOf(secrets: readonly string[]): string[] {
  return secrets.flatMap((secret) => {
    const key = keys.of(secret);
    return key.version === 'v1a' ? [key.kid] : [];
  });
}

/** Over `id.timestamp.body`, without copying the body; the caller says in which form it wants the digest. */
export function hmac(key: Buffer | KeyObject, id: string, timestamp: number, body: string | Buffer): Hmac {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
}

/** The bytes that ed25519 signs: it reads them twice, so they have to be there whole. */
export function signedContent(id: string, timestamp: number, body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body)]);
}

type Key =
  | { readonly version: 'v1'; readonly secretKey: KeyObject }
  | { readonly version: 'v1a'; readonly privateKey: KeyObject; readonly kid: string };

// The same secret signs thousands of attempts in a row. A worker serving more endpoints than two generations hold just parses
// again (under a microsecond; 0.1 ms for ed25519).
const GENERATION_MAX = 2048;
// As long as a worker keeps what it has opened of an endpoint: a secret that was rotated or deleted is gone after two.
const GENERATION_MS = 30_000;
const keys = new KeptKeys<Key>(
  { generationMax: GENERATION_MAX, generationMs: GENERATION_MS },
  (secret): Key =>
    isPrivateKey(secret)
      ? { version: 'v1a', privateKey: parsePrivateKey(secret), kid: publicJwk(publicKeyOf(secret)).kid }
      : { version: 'v1', secretKey: createSecretKey(parseSecret(secret)) },
);
