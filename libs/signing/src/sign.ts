import { createHmac } from 'node:crypto';
import { parseSecret } from './secrets.js';

export interface SignInput {
  /** The event's id, equal in every retry. */
  readonly id: string;
  /** Unix seconds of this attempt. */
  readonly timestamp: number;
  /** Exactly the bytes that are sent. */
  readonly body: string | Buffer;
  /** Newest first: one signature each, in this order. */
  readonly secrets: readonly string[];
}

/** The value of `webhook-signature`: `v1,<base64>` for each secret, separated by blanks. */
export function sign({ id, timestamp, body, secrets }: SignInput): string {
  if (secrets.length === 0) throw new Error('Bug: signing without a secret');
  if (!Number.isSafeInteger(timestamp))
    throw new Error(`Bug: a timestamp is whole seconds, not ${timestamp}`);
  // A dot in the id would let one id and timestamp be read as another.
  if (id === '' || id.includes('.')) throw new Error(`Bug: an id is not empty and has no dot: ${id}`);
  let header = '';
  for (const secret of secrets) {
    const signature = hmac(keyOf(secret), id, timestamp, body).toString('base64');
    header += (header === '' ? 'v1,' : ' v1,') + signature;
  }
  return header;
}

/** Over `id.timestamp.body`, without copying the body. */
export function hmac(key: Buffer, id: string, timestamp: number, body: string | Buffer): Buffer {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}

// The same secret signs thousands of attempts in a row. Bounded, and dropped whole when full: a worker serving more
// endpoints than this just parses again (under a microsecond).
const KEYS_MAX = 4096;
const keys = new Map<string, Buffer>();

function keyOf(secret: string): Buffer {
  let key = keys.get(secret);
  if (key === undefined) {
    key = parseSecret(secret);
    if (keys.size >= KEYS_MAX) keys.clear();
    keys.set(secret, key);
  }
  return key;
}
