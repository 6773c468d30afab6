import { BODY_BYTES_MAX, ERRORS, Problem, type ErrorCode } from '@app/contracts';
import { problemBody } from '../edge/problem.filter.js';
import { RAW_BODY_LIMITS } from '../edge/route-table.js';

const REQUEST_ID = '0193cfa4-7e30-7d6f-9b6e-4a4d4e2bb1a2';

/** Codes whose example has more to show than its title. */
const DETAILS: Partial<Record<ErrorCode, Problem>> = {
  invalid_request: new Problem('invalid_request', '`/colour` is not a field of this.', {
    errors: [{ pointer: '/colour', detail: 'is not a field of this' }],
  }),
  invalid_json: new Problem('invalid_json', 'The body is not valid JSON at character 17.'),
  invalid_cursor: new Problem('invalid_cursor', 'Use the nextCursor of the page before, as it is.', {
    errors: [{ pointer: 'cursor', detail: 'is not a cursor of this list' }],
  }),
  invalid_endpoint_url: new Problem('invalid_endpoint_url', 'The URL must start with https://.', {
    errors: [{ pointer: '/url', detail: 'The URL must start with https://.' }],
  }),
  unknown_event_type: new Problem(
    'unknown_event_type',
    'The event type "invoice.payed" is not in the catalogue; register it with POST /v1/event-types.',
    { errors: [{ pointer: '/type', detail: 'must be a registered event type' }] },
  ),
  rate_limited: new Problem(
    'rate_limited',
    'There may be 6000 requests a minute for one key. Ask again in 30 s.',
    {
      limit: 6000,
      violatedPolicies: ['key'],
    },
  ),
  backlog_full: new Problem(
    'backlog_full',
    'This subscriber has 2000000 deliveries pending or more, which is all that it may. The event was not stored; publish it again later.',
    { limit: 2_000_000 },
  ),
  unauthenticated: new Problem('unauthenticated', 'The API key is unknown, expired or revoked.'),
};

/** What an answer with this code looks like. */
export function problemExample(code: ErrorCode, path: string): Record<string, unknown> {
  const problem = code === 'payload_too_large' ? tooLarge(path) : DETAILS[code];
  return problemBody(problem ?? new Problem(code, `${ERRORS[code].title}.`), path, REQUEST_ID);
}

function tooLarge(path: string): Problem {
  const limit = RAW_BODY_LIMITS[path] ?? BODY_BYTES_MAX;
  return new Problem('payload_too_large', `A body here has at most ${limit} bytes.`, { limit });
}
