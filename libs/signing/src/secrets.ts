const SECRET_PREFIX = 'whsec_';
// The spec's bounds. Fewer bytes are guessable, more gain nothing over HMAC-SHA256's block.
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
const SECRET_BYTES_NEW = 32;

/** Why a text is not a secret or key. The text itself is never repeated. */
export type SecretProblem = 'missing_prefix' | 'not_base64' | 'wrong_length' | 'halves_differ';

export class InvalidSecretError extends Error {
  override readonly name = 'InvalidSecretError';
  readonly code = 'invalid_secret';

  constructor(
    readonly problem: SecretProblem,
    message: string,
  ) {
    super(message);
  }
}

/** A new symmetric secret. `random.bytes` must be fit for secrets (the domain's systemRandom is). */
export function generateSecret(random: { bytes(n: number): Uint8Array }): string {
  return SECRET_PREFIX + Buffer.from(random.bytes(SECRET_BYTES_NEW)).toString('base64');
}

/** The key inside `whsec_…`. Throws InvalidSecretError. */
export function parseSecret(text: string): Buffer {
  return parsePrefixed(text, {
    prefix: SECRET_PREFIX,
    what: 'A signing secret',
    bytesMin: SECRET_BYTES_MIN,
    bytesMax: SECRET_BYTES_MAX,
  });
}

/**
 * The bytes behind a prefix. Strict: one key has one spelling, because Node's own decoder skips what it does not know, and
 * a receiver's decoder may skip something else.
 */
export function parsePrefixed(
  text: string,
  form: { prefix: string; what: string; bytesMin: number; bytesMax: number },
): Buffer {
  const { prefix, what, bytesMin, bytesMax } = form;
  if (!text.startsWith(prefix))
    throw new InvalidSecretError('missing_prefix', `${what} starts with ${prefix}`);
  const base64 = text.slice(prefix.length);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64)
    throw new InvalidSecretError(
      'not_base64',
      `After ${prefix} ${what.toLowerCase()} is standard base64 with padding`,
    );
  if (bytes.length < bytesMin || bytes.length > bytesMax) {
    const lengths = bytesMin === bytesMax ? `${bytesMin}` : `${bytesMin} to ${bytesMax}`;
    throw new InvalidSecretError('wrong_length', `${what} holds ${lengths} bytes`);
  }
  return bytes;
}
