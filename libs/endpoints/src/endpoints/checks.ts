import {
  CUSTOM_HEADERS_MAX,
  EVENT_TYPE_PATTERNS_MAX,
  Problem,
  URL_LENGTH_MAX,
  type ErrorCode,
  type FieldProblem,
} from '@app/contracts';
import {
  checkCustomHeaders,
  checkEndpointUrl,
  isEventTypePattern,
  rateLimitProblems,
  retryPolicyProblems,
  type RateLimit,
  type RetryPolicyInput,
  type UrlPolicy,
} from '@app/domain';
import { InvalidSecretError, parseSecret } from '@app/signing';

/** The form that is stored, signed for and dialled. @throws Problem invalid_endpoint_url */
export function checkUrl(raw: string, policy: UrlPolicy): string {
  // Also refuses a literal address that is not public; names are checked when they are dialled, with what they then mean.
  const check = checkEndpointUrl(raw, policy);
  if (check.ok) return check.url;
  throw new Problem('invalid_endpoint_url', check.message, {
    errors: [{ pointer: '/url', detail: check.message }],
    ...(check.code === 'url_too_long' ? { limit: URL_LENGTH_MAX } : {}),
  });
}

/** Also a stored one may be refused: it is older than a rule, or the policy has changed. @throws Problem invalid_endpoint_url */
export function checkStoredUrl(url: string, policy: UrlPolicy): void {
  const check = checkEndpointUrl(url, policy);
  if (!check.ok)
    throw new Problem(
      'invalid_endpoint_url',
      `Nothing can be sent to the URL that the endpoint has. ${check.message} Change it first.`,
    );
}

/** The patterns without repetitions. @throws Problem invalid_request */
export function checkPatterns(patterns: string[]): string[] {
  const unique = [...new Set(patterns)];
  const errors = patterns.flatMap((pattern, at) =>
    isEventTypePattern(pattern)
      ? []
      : [
          {
            pointer: `/eventTypes/${at}`,
            detail: 'must be a type such as invoice.paid, a family such as invoice.*, or *',
          },
        ],
  );
  if (errors.length > 0)
    throw new Problem('invalid_request', `\`${errors[0].pointer}\` ${errors[0].detail}.`, { errors });
  if (unique.length === 0 || unique.length > EVENT_TYPE_PATTERNS_MAX)
    throw new Problem('invalid_request', `eventTypes has 1 to ${EVENT_TYPE_PATTERNS_MAX} patterns.`, {
      limit: EVENT_TYPE_PATTERNS_MAX,
      errors: [{ pointer: '/eventTypes', detail: `must have 1 to ${EVENT_TYPE_PATTERNS_MAX} patterns` }],
    });
  return unique;
}

/** @throws Problem invalid_custom_header; values are never repeated */
export function checkHeaders(headers: Record<string, string>): Record<string, string> {
  const problems = checkCustomHeaders(headers);
  if (problems.length === 0) return headers;
  throw new Problem('invalid_custom_header', problems[0].message, {
    errors: problems.map((each) => ({
      pointer:
        each.name === '' ? '/headers' : `/headers/${each.name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      detail: each.message,
    })),
    ...(problems.some((each) => each.code === 'too_many') ? { limit: CUSTOM_HEADERS_MAX } : {}),
  });
}

/** `pointer` is where the policy stands in the body. @throws Problem invalid_retry_policy */
export function checkRetryPolicy(value: unknown, pointer = '/retryPolicy'): RetryPolicyInput {
  refuseIfAny('invalid_retry_policy', retryPolicyProblems(value), pointer);
  return value as RetryPolicyInput;
}

/** @throws Problem invalid_rate_limit */
export function checkRateLimit(value: unknown): RateLimit {
  refuseIfAny('invalid_rate_limit', rateLimitProblems(value), '/rateLimit');
  return value as RateLimit;
}

function refuseIfAny(code: ErrorCode, problems: readonly FieldProblem[], pointer: string): void {
  if (problems.length === 0) return;
  const errors = problems.map((each) => ({ pointer: pointer + each.pointer, detail: each.detail }));
  const [first] = errors;
  throw new Problem(code, `${first.pointer === '' ? 'The body' : `\`${first.pointer}\``} ${first.detail}.`, {
    errors,
  });
}

/** @throws Problem invalid_secret; the secret is never repeated */
export function checkSecret(secret: string): string {
  try {
    parseSecret(secret);
  } catch (error) {
    if (!(error instanceof InvalidSecretError)) throw error;
    throw new Problem('invalid_secret', `${error.message}.`, {
      errors: [{ pointer: '/secret', detail: error.message }],
    });
  }
  return secret;
}
