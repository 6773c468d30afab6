import { ERRORS, type ErrorCode } from '@app/contracts';
import type { OpenAPIObject } from '@nestjs/swagger';
import { CHANGES_NOTHING_EXTENSION, PROBLEMS_EXTENSION } from '../edge/api-problems.decorator.js';
import { CUSTOMERS_EXTENSION } from '../edge/open-to-customers.decorator.js';
import { SCOPE_EXTENSION } from '../edge/require-scope.decorator.js';
import { operationsOf, type Operation } from './operations.js';
import { problemExample } from './problem-example.js';

/** Writes every error answer of every operation: one per status, with an example for each code. */
export function declareProblems(document: OpenAPIObject): void {
  document.components = {
    ...document.components,
    headers: {
      'Retry-After': { description: 'Seconds after which to try again.', schema: { type: 'integer' } },
      ...RATE_LIMIT_HEADERS,
    },
  };
  for (const { path, method, operation } of operationsOf(document)) declare(path, method, operation);
}

function declare(path: string, method: string, operation: Operation): void {
  const scope = operation[SCOPE_EXTENSION] as string | undefined;
  const own = (operation[PROBLEMS_EXTENSION] ?? []) as ErrorCode[];
  delete operation[PROBLEMS_EXTENSION];
  const mutates = method === 'post' && operation[CHANGES_NOTHING_EXTENSION] !== true;
  delete operation[CHANGES_NOTHING_EXTENSION];
  if (scope !== undefined)
    operation.description = [
      operation.description,
      `Needs a key with the scope \`${scope}\`${operation[CUSTOMERS_EXTENSION] ? ', or an access token that has it' : ''}.`,
    ]
      .filter(Boolean)
      .join('\n\n');
  if (scope !== undefined && mutates) (operation.parameters ??= []).push(IDEMPOTENCY_KEY);

  const codes = new Set<ErrorCode>([...own, ...impliedBy(scope, mutates, operation)]);
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  for (const [status, some] of [...byStatus].sort(([a], [b]) => a - b)) {
    operation.responses[status] ??= {
      description: some.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' '),
      ...(Object.hasOwn(HEADERS, status) ? { headers: HEADERS[status] } : {}),
      content: {
        'application/problem+json': {
          schema: { $ref: '#/components/schemas/ProblemDto' },
          examples: Object.fromEntries(some.map((code) => [code, { value: problemExample(code, path) }])),
        },
      },
    };
  }
}

/** What follows from the shape of a route, so that nobody has to remember it. */
function impliedBy(scope: string | undefined, mutates: boolean, operation: Operation): ErrorCode[] {
  if (scope === undefined) return [];
  const parameters = operation.parameters ?? [];
  const codes: ErrorCode[] = [
    'unauthenticated',
    'forbidden',
    'rate_limited',
    'internal_error',
    'unavailable',
  ];
  if (operation.requestBody)
    codes.push('invalid_request', 'invalid_json', 'payload_too_large', 'unsupported_media_type');
  if (parameters.some((each) => each.in === 'query')) codes.push('invalid_request');
  if (parameters.some((each) => each.name === 'cursor')) codes.push('invalid_cursor');
  if (mutates) codes.push('invalid_idempotency_key', 'idempotency_key_in_use', 'idempotency_key_reused');
  return codes;
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'A text of your own, such as a UUID. The same key with the same body within 24 hours gets the first answer again, with the header `idempotency-replayed: true`, and does nothing.',
  schema: { type: 'string', minLength: 1, maxLength: 255, example: 'invoice-1042-paid' },
};

/** Every answer that was counted says how much is left; only here it is why the answer is what it is. */
const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': {
    description: 'Each limit that holds here: `q` requests within `w` seconds.',
    schema: { type: 'string', example: '"key";q=6000;w=60' },
  },
  RateLimit: {
    description: 'Of each, what remains (`r`) and in how many seconds it starts anew (`t`).',
    schema: { type: 'string', example: '"key";r=0;t=30' },
  },
  'X-RateLimit-Limit': { description: '`q` of the tightest limit.', schema: { type: 'integer' } },
  'X-RateLimit-Remaining': { description: '`r` of the tightest limit.', schema: { type: 'integer' } },
  'X-RateLimit-Reset': { description: '`t` of the tightest limit, in seconds.', schema: { type: 'integer' } },
} as const;

const RETRY_AFTER = { $ref: '#/components/headers/Retry-After' };
const HEADERS: Record<number, object> = {
  429: {
    'Retry-After': RETRY_AFTER,
    ...Object.fromEntries(
      Object.keys(RATE_LIMIT_HEADERS).map((name) => [name, { $ref: `#/components/headers/${name}` }]),
    ),
  },
  503: { 'Retry-After': RETRY_AFTER },
};
