const PREFIX = 'whsec_';
// The spec's bounds. Fewer bytes are guessable, more gain nothing over HMAC-SHA256's block.
const SECRET_BYTES_MIN = 24;
const SECRET_BYTES_MAX = 64;
const SECRET_BYTES_NEW = 32;

/** Why a text is not a secret. The text itself is never repeated. */
export type SecretProblem = 'missing_prefix' | 'not_base64' | 'wrong_length';

export class InvalidSecretError extends Error {
  override readonly name = 'InvalidSecretError';
  readonly code = 'invalid_secret';

  constructor(readonly problem: SecretProblem) {
    super(MESSAGES[problem]);
  }
}

const MESSAGES: Record<SecretProblem, string> = {
  missing_prefix: `A signing secret starts with ${PREFIX}`,
  not_base64: `After ${PREFIX} a signing secret is standard base64 with padding`,
  wrong_length: `A signing secret holds ${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes`,
};

/** A new symmetric secret. `random.bytes` must be fit for secrets (the domain's systemRandom is). */
export function generateSecret(random: { bytes(n: number): Uint8Array }): string {
  return PREFIX + Buffer.from(random.bytes(SECRET_BYTES_NEW)).toString('base64');
}

/**
 * The key inside `whsec_…`. Throws InvalidSecretError. Strict: one key has one spelling, because Node's own decoder skips
 * what it does not know, and a receiver's decoder may skip something else.
 */
export function parseSecret(text: string): Buffer {
  if (!text.startsWith(PREFIX)) throw new InvalidSecretError('missing_prefix');
  const base64 = text.slice(PREFIX.length);
  const key = Buffer.from(base64, 'base64');
  if (key.toString('base64') !== base64) throw new InvalidSecretError('not_base64');
  if (key.length < SECRET_BYTES_MIN || key.length > SECRET_BYTES_MAX)
    throw new InvalidSecretError('wrong_length');
  return key;
}
