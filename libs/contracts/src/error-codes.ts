/**
 * Every code that a problem answer can carry, with its status and title. The outside matches on the code, never
 * on a text; a code is never renamed. `type` in the answer is `urn:posthorn:problem:<code>`.
 */
export const ERRORS = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  invalid_json: { status: 400, title: 'The body is not valid JSON' },
  invalid_cursor: { status: 400, title: 'The cursor is not one of ours' },
  invalid_endpoint_url: { status: 400, title: 'The URL cannot receive deliveries' },
  invalid_custom_header: { status: 400, title: 'A custom header cannot be sent' },
  invalid_retry_policy: { status: 400, title: 'The retry policy cannot be followed' },
  invalid_rate_limit: { status: 400, title: 'The rate limit cannot be kept' },
  invalid_on_failure: { status: 400, title: 'The endpoint for failures cannot be used' },
  invalid_auth: { status: 400, title: 'The authorization cannot be sent' },
  invalid_tls: { status: 400, title: 'The TLS settings cannot be used' },
  invalid_signature_header: { status: 400, title: 'A signature header cannot be sent' },
  invalid_secret: { status: 400, title: 'The signing secret has the wrong form' },
  invalid_event_id: { status: 400, title: 'The event id cannot be used' },
  invalid_idempotency_key: { status: 400, title: 'The Idempotency-Key cannot be used' },
  unknown_event_type: { status: 400, title: 'The event type is not in the catalogue' },
  unknown_event_type_version: { status: 400, title: 'The event type has no such version' },
  unknown_subscriber: { status: 400, title: 'There is no such subscriber' },
  unauthenticated: { status: 401, title: 'The API key is missing, unknown, expired or revoked' },
  forbidden: { status: 403, title: 'The API key lacks the scope for this' },
  not_found: { status: 404, title: 'There is no such thing' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  already_exists: { status: 409, title: 'It exists already' },
  idempotency_key_in_use: { status: 409, title: 'A request with this Idempotency-Key is still running' },
  event_id_in_use: { status: 409, title: 'Another event has this id' },
  conflict: { status: 409, title: 'The state does not allow this' },
  limit_reached: { status: 409, title: 'A limit is reached' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  url_too_long: { status: 414, title: 'The URL is too long' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  idempotency_key_reused: { status: 422, title: 'This Idempotency-Key was used with another request' },
  backlog_full: { status: 429, title: 'Too many deliveries of the subscriber are pending' },
  rate_limited: { status: 429, title: 'Too many requests' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal_error: { status: 500, title: 'Something went wrong on our side' },
  unavailable: { status: 503, title: 'Posthorn cannot take this right now' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** One field that is wrong: `pointer` is a JSON pointer into the body, or the name of a parameter. */
export interface FieldProblem {
  pointer: string;
  detail: string;
}

/**
 * A refusal that the outside may see whole. Thrown by stages, turned into problem+json at the edge.
 * Our own faults are ordinary errors and become `internal_error` or `unavailable` without their text.
 */
export class Problem extends Error {
  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    readonly extra: {
      errors?: FieldProblem[];
      limit?: number;
      retryAfterSeconds?: number;
      /** The names of the rate limit policies that are used up. */
      violatedPolicies?: string[];
    } = {},
  ) {
    super(`${code}: ${detail}`);
  }
  get status(): number {
    return ERRORS[this.code].status;
  }
}
