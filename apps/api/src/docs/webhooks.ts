import { sign } from '@app/signing';
import type { OpenAPIObject } from '@nestjs/swagger';
import { retrySchedule } from './description.js';

const EVENT_ID = 'evt_01kany2t2afaxthq1xzkpc8w5d';
const TIMESTAMP = 1795339800;
// The secret that the other examples show: what is signed here verifies.
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=';

/** What a receiver gets: the wire of design.md, section 8, and Standard Webhooks. */
export function describeWebhooks(document: OpenAPIObject): void {
  const schemas = ((document.components ??= {}).schemas ??= {}) as Record<string, object>;
  schemas['WebhookEvent'] = DELIVERED_EVENT;
  (document as { webhooks?: object }).webhooks = { event: { post: RECEIVE } };
}

/** The body of a delivery, to copy. */
export const DELIVERED_EXAMPLE = {
  id: EVENT_ID,
  type: 'invoice.paid',
  version: '1',
  timestamp: '2026-11-22T09:30:00.000Z',
  data: { invoice: 'in_1042', amount: 1999, currency: 'EUR' },
};

const DELIVERED_EVENT = {
  type: 'object',
  description:
    'The body of every delivery. `data` is what was published, byte for byte: verify before you parse.',
  required: ['id', 'type', 'version', 'timestamp', 'data'],
  properties: {
    id: {
      type: 'string',
      description: 'The event, equal in every retry: remember it to do things once.',
      example: DELIVERED_EXAMPLE.id,
    },
    type: { type: 'string', description: 'What happened.', example: DELIVERED_EXAMPLE.type },
    version: {
      type: 'string',
      description: 'The version of the type that `data` follows.',
      example: DELIVERED_EXAMPLE.version,
    },
    timestamp: {
      type: 'string',
      format: 'date-time',
      description: 'When it happened.',
      example: DELIVERED_EXAMPLE.timestamp,
    },
    data: { description: 'What was published: any JSON value.', example: DELIVERED_EXAMPLE.data },
  },
  example: DELIVERED_EXAMPLE,
};

function header(name: string, description: string, example: string, required = true): object {
  return { name, in: 'header', required, description, schema: { type: 'string' }, example };
}

const RECEIVE = {
  operationId: 'receiveEvent',
  summary: 'An event, as your endpoint receives it',
  description: `**Verify** the signature over the bytes as they came, before you parse them. It is
[Standard Webhooks](https://www.standardwebhooks.com): HMAC-SHA256 over \`webhook-id.webhook-timestamp.body\` with the endpoint's secret (base64 after
\`whsec_\`), in base64, after \`v1,\`. While a secret is being rotated there is one signature per secret, separated by blanks: accept the request when any
of them fits. Refuse timestamps more than five minutes off. Any library for Standard Webhooks or Svix does all of this; code for Node is at the top of
this page. The example below, as one line without blanks, is signed with \`${SECRET}\`.

**Answer** 2xx within the endpoint's timeout, and do your work afterwards. No answer, 5xx, 408, 425 and 429 are tried again after ${retrySchedule()}, or as your
retry policy says, and never before your \`Retry-After\`. Redirects and other 4xx have failed at once, unless your policy says \`retryClientErrors\`.

**Stop** us with 410, or with the header \`webhook-delivery: disable\` in any answer: the endpoint is disabled. \`webhook-delivery: abort-message\` in a
failure ends this event alone.

**Remember** \`webhook-id\`: an event may arrive twice, and out of order.`,
  security: [],
  parameters: [
    header('webhook-id', 'The event, equal in every retry.', EVENT_ID),
    header('webhook-timestamp', 'When this attempt was signed, in seconds since 1970.', String(TIMESTAMP)),
    header(
      'webhook-signature',
      'One `v1,<base64>` per live secret, newest first; before them, at an endpoint that wants them, one `v1a,<base64>` per live key.',
      sign({
        id: EVENT_ID,
        timestamp: TIMESTAMP,
        body: Buffer.from(JSON.stringify(DELIVERED_EXAMPLE)),
        secrets: [SECRET],
      }),
    ),
    header(
      'posthorn-key-ids',
      'With `v1a`: the ids of the keys that signed, in the order of their signatures, as `kid` in `/v1/jwks`.',
      'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
      false,
    ),
    header(
      'posthorn-delivery',
      'The delivery: name it when you ask us about it.',
      'dlv_01kany2t2bfd0rk8d6x0p9h3qa',
    ),
    header('posthorn-attempt', 'Which attempt of this delivery it is, from 1.', '1'),
    header('user-agent', 'Posthorn and its version.', 'Posthorn/0.1.0'),
    header(
      'traceparent',
      'The trace that the publisher gave, when it did.',
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      false,
    ),
  ],
  requestBody: {
    required: true,
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/WebhookEvent' },
        examples: { 'invoice.paid': { summary: 'A paid invoice', value: DELIVERED_EXAMPLE } },
      },
    },
  },
  responses: {
    '2XX': {
      description:
        'Received: the delivery is over. The body is kept as an excerpt for support and otherwise ignored.',
    },
    '3XX': { description: 'A failure: redirects are not followed. Change the URL of the endpoint instead.' },
    '4XX': {
      description:
        'A failure. 408, 425 and 429 are tried again later; 410 disables the endpoint; the others end the delivery.',
    },
    '5XX': { description: 'A failure, tried again later. So is no answer within the endpoint’s timeout.' },
  },
};
