import type { OpenAPIObject } from '@nestjs/swagger';

const EVENT_ID = 'evt_01jf7tc5y8fkts9d3w2x4v6b7n';

/** What a receiver gets: the wire of design.md, section 8, and Standard Webhooks. */
export function describeWebhooks(document: OpenAPIObject): void {
  const schemas = ((document.components ??= {}).schemas ??= {}) as Record<string, object>;
  schemas['DeliveredEvent'] = DELIVERED_EVENT;
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
  operationId: 'receive.event',
  summary: 'An event, as your endpoint receives it',
  description: `Signed as [Standard Webhooks](https://www.standardwebhooks.com) has it: HMAC-SHA256 over \`webhook-id.webhook-timestamp.body\` with
the endpoint's secret (base64 after \`whsec_\`), in base64, after \`v1,\`. While a secret is being rotated there is one signature
per secret, the newest first, separated by blanks: accept the request when any of them fits. Refuse timestamps more than five
minutes off. Any library for Standard Webhooks or Svix verifies it.

Answer 2xx within the endpoint's timeout, before you work on it. Everything else is tried again, for about three days, with
growing pauses. Deliveries may come twice and out of order: remember \`webhook-id\`.`,
  security: [],
  parameters: [
    header('webhook-id', 'The event, equal in every retry.', EVENT_ID),
    header('webhook-timestamp', 'When this attempt was signed, in seconds since 1970.', '1795340400'),
    header(
      'webhook-signature',
      'One `v1,<base64>` per live secret, newest first.',
      'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=',
    ),
    header(
      'posthorn-delivery',
      'The delivery: name it when you ask us about it.',
      'dlv_01jf7tc6a1e8m9z5h3k7q2r4yd',
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
        schema: { $ref: '#/components/schemas/DeliveredEvent' },
        examples: { 'invoice.paid': { summary: 'A paid invoice', value: DELIVERED_EXAMPLE } },
      },
    },
  },
  responses: {
    '2XX': { description: 'Received. The body is kept as an excerpt for support and otherwise ignored.' },
    '3XX': { description: 'A failure: redirects are not followed. Change the URL of the endpoint instead.' },
    '410': {
      description: 'A failure, tried again like the others. Delete or disable an endpoint that is gone.',
    },
    '429': { description: 'A failure, tried again later.' },
    default: { description: 'A failure, as is no answer in time: tried again later.' },
  },
};
