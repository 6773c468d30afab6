import type { OpenAPIObject } from '@nestjs/swagger';
import { operationEntry } from './operation-table.js';
import { operationsOf, type Operation, type Parameter } from './operations.js';
import { DELIVERED_EXAMPLE } from './webhooks.js';

/** What is the same for every operation, or cannot be written in a comment: names, parameters, answers, bodies to try. */
export function describeOperations(document: OpenAPIObject): void {
  const schemas = (document.components?.schemas ?? {}) as Record<string, { required?: string[] }>;
  for (const { path, operation } of operationsOf(document)) {
    const { id, about, answer, bodies, shows } = operationEntry(operation.operationId);
    operation.operationId = id;
    describeText(operation, about);
    for (const parameter of operation.parameters ?? []) describeParameter(path, parameter);
    describeBody(operation, bodies, schemas);
    for (const [status, response] of Object.entries(operation.responses)) {
      response.description ||= answer;
      const json = response.content?.['application/json'];
      if (json && shows) json.examples = namedExamples(shows);
      if (status === '200' && operation.parameters?.some((each) => each.name === 'cursor'))
        response.headers = { Link: LINK };
    }
  }
}

/** In a path; what a query says of itself stands in its DTO. */
const PATH_PARAMETERS: Record<string, { description: string; example: string }> = {
  subscriber: {
    description: 'The subscriber: its id (`sub_…`) or your own `externalId` for it.',
    example: 'acme-corp',
  },
  endpoint: { description: 'The id of the endpoint.', example: 'ep_01kany2t2bfd0rk8d6x0p9h3qa' },
  name: { description: 'The name of the event type.', example: 'invoice.paid' },
  event: { description: 'The id of the event.', example: DELIVERED_EXAMPLE.id },
  delivery: { description: 'The id of the delivery.', example: 'dlv_01kany2t2bfd0rk8d6x0p9h3qa' },
  key: { description: 'The id of the API key.', example: 'key_01kany2t2bfd0rk8d6x0p9h3qa' },
  token: { description: 'The id of the access token.', example: 'tok_01kany2t2bfd0rk8d6x0p9h3qa' },
  replay: { description: 'The id of the replay.', example: 'rpl_01kany2t2bfd0rk8d6x0p9h3qa' },
};

const LINK = {
  description: 'The next page, with `rel="next"`; absent on the last one.',
  schema: { type: 'string' },
};

/** A comment's first sentence is the headline, without its full stop; the rest is the description. */
function describeText(operation: Operation, about: string | undefined): void {
  const text = (operation.summary ?? '').replaceAll('\n', ' ');
  const end = /\.( |$)/.exec(text)?.index ?? text.length;
  operation.summary = text.slice(0, end);
  operation.description = [text.slice(end + 1).trim(), operation.description, about]
    .filter(Boolean)
    .join('\n\n');
}

function describeParameter(path: string, parameter: Parameter): void {
  if (parameter.in === 'query') return tellFormat(parameter);
  if (parameter.in !== 'path') return;
  const known = PATH_PARAMETERS[parameter.name];
  if (!known) throw new Error(`Bug: {${parameter.name}} of ${path} has no description in PATH_PARAMETERS`);
  parameter.description ??= known.description;
  parameter.example ??= known.example;
}

/** Swagger UI leaves query fields empty, as it should, and then shows no example: what one looks like is said in words. */
function tellFormat(parameter: Parameter): void {
  if (!TOLD.has(parameter.name)) return;
  const example = parameter.example ?? parameter.schema?.example;
  if (typeof example === 'string') parameter.description += ` For example \`${example}\`.`;
}

const TOLD = new Set(['subscriber', 'endpoint', 'eventType', 'type', 'since', 'until', 'actor', 'object']);

function describeBody(
  operation: Operation,
  bodies: Record<string, unknown> | undefined,
  schemas: Record<string, { required?: string[] }>,
): void {
  const json = operation.requestBody?.content['application/json'];
  if (!operation.requestBody || !json) return;
  if (!bodies) throw new Error(`Bug: ${operation.operationId} has a body and none to try in OPERATIONS`);
  const name = json.schema?.$ref?.split('/').at(-1) ?? '';
  // A body of which nothing is required may be left out whole.
  if ((schemas[name]?.required ?? []).length === 0) operation.requestBody.required = false;
  json.examples = namedExamples(bodies);
}

function namedExamples(values: Record<string, unknown>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(values).map(([summary, value], at) => [`example${at + 1}`, { summary, value }]),
  );
}
