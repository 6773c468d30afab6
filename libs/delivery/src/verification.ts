import { timingSafeEqual } from 'node:crypto';
import type { Random, RateLimit } from '@app/domain';
import type { EndpointForAttempt, Proof } from '@app/persistence';
import type { SendResult } from './http/http-sender.js';

/** What an endpoint is asked in order to prove that it wants deliveries, and what it has to answer. */
export interface Handshake {
  readonly method: 'POST' | 'OPTIONS';
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** Why this is no proof, or the proof. Only what came with a 2xx is looked at. */
  judge(result: SendResult): Proof | string;
}

export function handshakeWith(
  endpoint: Pick<EndpointForAttempt, 'url' | 'verification' | 'rateLimit'>,
  origin: string | null,
  random: Random,
): Handshake {
  switch (endpoint.verification) {
    case 'none':
      return {
        ...challenge(endpoint.url, random),
        judge: () => 'the endpoint asks for no verification any more',
      };
    case 'challenge':
      return challenge(endpoint.url, random);
    case 'cloudevents':
      return cloudEvents(endpoint, origin);
  }
}

/** What is sent with every delivery to an endpoint that consented to it (CloudEvents webhooks 1.0, section 4.1.1). */
export function originHeaders(
  { verification }: Pick<EndpointForAttempt, 'verification'>,
  origin: string | null,
): Record<string, string> {
  return verification === 'cloudevents' && origin !== null ? { 'webhook-request-origin': origin } : {};
}

// As many as a key has: nobody answers by guessing.
const CHALLENGE_BYTES = 32;

/** New for each attempt and kept nowhere: it ends with the attempt's deadline, and nobody can read it but the receiver. */
function challenge(url: string, random: Random): Handshake {
  const text = Buffer.from(random.bytes(CHALLENGE_BYTES)).toString('base64url');
  return {
    method: 'POST',
    body: Buffer.from(JSON.stringify({ type: 'posthorn.endpoint.verification', challenge: text })),
    headers: {},
    judge: ({ responseBody, responseTruncated }) =>
      !responseTruncated && responseBody !== undefined && isEcho(responseBody, text)
        ? { by: 'challenge', url, rateLimit: null }
        : 'the answer is not the challenge, as text or as {"challenge": "…"}',
  };
}

function isEcho(body: Buffer, text: string): boolean {
  const said = body.toString('utf8').trim();
  const echoed = said.startsWith('{') ? challengeIn(said) : said;
  const [a, b] = [Buffer.from(echoed), Buffer.from(text)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function challengeIn(json: string): string {
  try {
    const { challenge: said } = JSON.parse(json) as { challenge?: unknown };
    return typeof said === 'string' ? said : '';
  } catch {
    return '';
  }
}

// Asked for, not needed: what a lane may send at most is far above it, and the receiver's answer decides.
const REQUEST_RATE = '120000';

/** The handshake of CloudEvents webhooks 1.0, section 4: consent is a header and never a status by itself. */
function cloudEvents(
  { url, rateLimit }: Pick<EndpointForAttempt, 'url' | 'rateLimit'>,
  origin: string | null,
): Handshake {
  return {
    method: 'OPTIONS',
    body: Buffer.alloc(0),
    headers: {
      ...originHeaders({ verification: 'cloudevents' }, origin),
      'webhook-request-rate': REQUEST_RATE,
    },
    judge: ({ responseHeaders = {} }) => {
      if (origin === null)
        return 'this worker has no POSTHORN_ORIGIN, though the api that took the endpoint has';
      const allowed = responseHeaders['webhook-allowed-origin']?.trim().toLowerCase();
      if (allowed !== '*' && allowed !== origin.toLowerCase())
        return `the answer has no WebHook-Allowed-Origin that is * or ${origin}`;
      return {
        by: 'cloudevents',
        url,
        rateLimit: stricter(rateLimit, responseHeaders['webhook-allowed-rate']),
      };
    },
  };
}

// A limit of the rate's own kind goes no higher; above it nothing is limited.
const PER_SECONDS = 60;
const ALLOWED_RATE_MAX = 100_000;

/** The limit that a `WebHook-Allowed-Rate` asks for, per minute; null when the endpoint's own is as strict, or it asks for none. */
function stricter(own: RateLimit | null, said = '*'): RateLimit | null {
  const text = said.trim();
  if (!/^[1-9]\d{0,8}$/.test(text)) return null;
  const limit = Number(text);
  if (limit > ALLOWED_RATE_MAX || (own !== null && own.limit / own.per <= limit / PER_SECONDS)) return null;
  return { algorithm: 'sliding_window', limit, per: PER_SECONDS };
}
