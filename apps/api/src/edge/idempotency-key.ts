import { IDEMPOTENCY_KEY_LENGTH_MAX, Problem } from '@app/contracts';

const PLAIN = /^[\x21-\x7e]+$/;
// RFC 8941 string: the draft for Idempotency-Key writes it so, most clients do not.
const QUOTED = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** The key in the header, `abc` and `"abc"` alike; undefined when there is none. @throws Problem invalid_idempotency_key */
export function readIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const text = Array.isArray(header) ? header.join(', ') : header;
  const key = text.startsWith('"') ? QUOTED.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1') : text;
  if (key === undefined || !PLAIN.test(key) || key.length > IDEMPOTENCY_KEY_LENGTH_MAX)
    throw new Problem(
      'invalid_idempotency_key',
      `An Idempotency-Key has 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters, without blanks.`,
      { limit: IDEMPOTENCY_KEY_LENGTH_MAX },
    );
  return key;
}
