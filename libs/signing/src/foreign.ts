import { createHmac } from 'node:crypto';

/**
 * Signatures as others make them, for receivers that were written for those. Both take the TEXT of the secret as the HMAC
 * key, `whsec_` included, and not the bytes that it encodes: that is what GitHub's and Stripe's libraries do.
 *
 * `github`: `sha256=<hex>` over the body, as in `X-Hub-Signature-256`. One signature: its receivers compare the whole
 * header. It does not cover the time, so a captured request can be repeated for ever.
 * `stripe`: `t=<unix seconds>,v1=<hex>` over `<t>.<body>`, as in `Stripe-Signature`, with a `v1` for each live secret.
 */
export const FOREIGN_FORMATS = ['github', 'stripe'] as const;
export type ForeignFormat = (typeof FOREIGN_FORMATS)[number];

export interface ForeignSignInput {
  /** Unix seconds of this attempt. */
  readonly timestamp: number;
  /** Exactly the bytes that are sent. */
  readonly body: string | Buffer;
  /** As their owner wrote them, newest first. */
  readonly secrets: readonly string[];
}

/** The value of the header. */
export function signForeign(format: ForeignFormat, { timestamp, body, secrets }: ForeignSignInput): string {
  if (secrets.length === 0) throw new Error('Bug: signing without a secret');
  switch (format) {
    case 'github':
      return `sha256=${createHmac('sha256', secrets[0]).update(body).digest('hex')}`;
    case 'stripe':
      return [`t=${timestamp}`, ...secrets.map((secret) => `v1=${stripe(secret, timestamp, body)}`)].join(
        ',',
      );
  }
}

function stripe(secret: string, timestamp: number, body: string | Buffer): string {
  return createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');
}
