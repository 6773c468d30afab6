import { BODY_BYTES_MAX, ERRORS, Problem, type ErrorCode } from '@app/contracts';
import { problemBody } from '../edge/problem.filter.js';

const REQUEST_ID = '0193cfa4-7e30-7d6f-9b6e-4a4d4e2bb1a2';

/** Codes whose example has more to show than its title. */
const DETAILS: Partial<Record<ErrorCode, Problem>> = {
  invalid_request: new Problem('invalid_request', '`/name` is not a field of this.', {
    errors: [{ pointer: '/name', detail: 'is not a field of this' }],
  }),
  invalid_endpoint_url: new Problem('invalid_endpoint_url', 'The URL must start with https:// or http://.', {
    errors: [{ pointer: '/url', detail: 'The URL must start with https:// or http://.' }],
  }),
  payload_too_large: new Problem('payload_too_large', `A body here has at most ${BODY_BYTES_MAX} bytes.`, {
    limit: BODY_BYTES_MAX,
  }),
};

/** What an answer with this code looks like. */
export function problemExample(code: ErrorCode, path: string): Record<string, unknown> {
  return problemBody(DETAILS[code] ?? new Problem(code, `${ERRORS[code].title}.`), path, REQUEST_ID);
}
