import type { OpenAPIObject } from '@nestjs/swagger';
import { operationsOf, type Operation, type Parameter } from './operations.js';
import { DELIVERED_EXAMPLE } from './webhooks.js';

/** What is the same for every operation, or cannot be written in a comment: parameters, answers, bodies to try. */
export function describeOperations(document: OpenAPIObject): void {
  const schemas = (document.components?.schemas ?? {}) as Record<string, { required?: string[] }>;
  for (const { path, operation } of operationsOf(document)) {
    for (const parameter of operation.parameters ?? []) describeParameter(path, parameter);
    describeBody(operation, schemas);
    for (const [status, response] of Object.entries(operation.responses)) {
      response.description ||= ANSWERS[status] ?? 'Done.';
      if (status === '200' && operation.parameters?.some((each) => each.name === 'cursor'))
        response.headers = { Link: LINK };
    }
    const more = MORE[operation.operationId];
    if (more) operation.description = [operation.description, more].filter(Boolean).join('\n\n');
  }
}

/** In a path; what a query says of itself stands in its DTO. */
const PATH_PARAMETERS: Record<string, { description: string; example: string }> = {
  subscriber: {
    description: 'The subscriber: our id (`sub_…`) or your own `externalId`.',
    example: 'acme-corp',
  },
  endpoint: { description: 'The id of the endpoint.', example: 'ep_01jf7t9c2efw8r3k6zv1m4n5pq' },
  name: { description: 'The name of the event type.', example: 'invoice.paid' },
  event: { description: 'The id of the event.', example: DELIVERED_EXAMPLE.id },
  delivery: { description: 'The id of the delivery.', example: 'dlv_01jf7tc6a1e8m9z5h3k7q2r4yd' },
  replay: { description: 'The id of the replay.', example: 'rpl_01jf7td7b2f9n0a6j4m8r3s5ze' },
};

const ANSWERS: Record<string, string> = {
  '200': 'As it is now.',
  '201': 'Made.',
  '202': 'Accepted: it is safe, and happens next.',
  '204': 'Gone.',
};

const LINK = {
  description: 'The next page, with `rel="next"`; absent on the last one.',
  schema: { type: 'string' },
};

/** What Swagger UI offers to send. Built from the fields it would send secrets that everybody can read here. */
const BODIES: Record<string, Record<string, { summary: string; value: unknown }>> = {
  'endpoints.create': {
    everything: { summary: 'All events', value: { url: 'https://hooks.acme.example/posthorn' } },
    some: {
      summary: 'Some events, with a header',
      value: {
        url: 'https://hooks.acme.example/billing',
        description: 'Billing, production',
        eventTypes: ['invoice.*', 'customer.created'],
        headers: { 'x-tenant': 'acme' },
      },
    },
  },
  'endpointActions.rotateSecret': {
    'in peace': { summary: 'The old secret signs for another day', value: {} },
    leaked: { summary: 'The old secret ends now', value: { overlapSeconds: 0 } },
  },
};

const MORE: Record<string, string> = {
  'endpoints.create': `Your receiver then gets requests with this body (their headers are described under Webhooks):

\`\`\`json
${JSON.stringify(DELIVERED_EXAMPLE, null, 2)}
\`\`\``,
};

function describeParameter(path: string, parameter: Parameter): void {
  if (parameter.name === 'state') parameter.description ??= 'Only those in this state.';
  if (parameter.in !== 'path') return;
  const known = PATH_PARAMETERS[parameter.name];
  if (!known) throw new Error(`Bug: {${parameter.name}} of ${path} has no description in PATH_PARAMETERS`);
  parameter.description ??= known.description;
  parameter.example ??= known.example;
}

function describeBody(operation: Operation, schemas: Record<string, { required?: string[] }>): void {
  const json = operation.requestBody?.content['application/json'];
  if (!operation.requestBody || !json) return;
  const name = json.schema?.$ref?.split('/').at(-1) ?? '';
  // A body of which nothing is required may be left out whole.
  if ((schemas[name]?.required ?? []).length === 0) operation.requestBody.required = false;
  const examples = BODIES[operation.operationId];
  if (examples) json.examples = examples;
}
