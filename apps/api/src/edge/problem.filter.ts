import { ERRORS, Problem, type ErrorCode } from '@app/contracts';
import type { Logger } from '@app/observability';
import { isConnectionFailure } from '@app/persistence';
import { Catch, HttpException, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LOGGER } from '../tokens.js';
import { RouteTable } from './route-table.js';

// A restart of the database or a failover takes about this long.
const RETRY_AFTER_SECONDS = 5;

/** The only place that writes an error: every one becomes problem+json, ours without its text. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly routes: RouteTable,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const problem = toProblem(error, request, this.routes);
    request.problemCode = problem.code;
    if (problem.status >= 500) {
      const route = request.routeOptions.url ?? '';
      this.logger.error(
        { method: request.method, route, requestId: request.id, err: error },
        'request.failed',
      );
    }
    if (reply.sent) return;
    if (problem.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer realm="posthorn"');
    if (problem.code === 'method_not_allowed')
      reply.header('allow', this.routes.allowed(request.url).join(', '));
    if (problem.extra.retryAfterSeconds !== undefined)
      reply.header('retry-after', String(problem.extra.retryAfterSeconds));
    void reply
      .code(problem.status)
      .header('content-type', 'application/problem+json')
      .send(problemText(problem, request.url, request.id));
  }
}

// Keys, tokens and signing secrets of ours, by their forms: in a path, or where the name of a field belongs.
const SECRETS = /(pht?_[a-z]{2,8}_[0-9a-z]{26}_|whs(?:ec|k)_)[\w+/=-]{8,}/g;

/** What is sent. A secret that somebody put into a wrong place is not repeated: proxies and clients log errors. */
export function problemText(problem: Problem, url: string, requestId: string): string {
  return JSON.stringify(problemBody(problem, url, requestId)).replace(SECRETS, '$1…');
}

/** The body of RFC 9457 with our members: `code`, `requestId`, and where they apply `errors` and `limit`. */
export function problemBody(problem: Problem, url: string, requestId: string): Record<string, unknown> {
  const { errors, limit, violatedPolicies } = problem.extra;
  return {
    type: `urn:posthorn:problem:${problem.code}`,
    title: ERRORS[problem.code].title,
    status: problem.status,
    detail: problem.detail,
    instance: url.split('?', 1)[0],
    code: problem.code,
    requestId,
    ...(errors ? { errors } : {}),
    ...(limit === undefined ? {} : { limit }),
    ...(violatedPolicies ? { 'violated-policies': violatedPolicies } : {}),
  };
}

function toProblem(error: unknown, request: FastifyRequest, routes: RouteTable): Problem {
  if (error instanceof Problem) return error;
  // Hung up, or cut because it took too long: nobody reads this, and our log must not take it for a fault of ours.
  if (request.raw.destroyed && !request.raw.complete)
    return new Problem('request_timeout', 'The connection ended before the request did.');
  if (isConnectionFailure(error))
    return new Problem('unavailable', 'The database cannot be reached. Nothing was changed; try again.', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  if (error instanceof HttpException) return fromHttp(error.getStatus(), request, routes);
  return new Problem('internal_error', 'The request failed on our side. Tell us the requestId.');
}

/** Refusals of Nest and Fastify themselves: their texts are not ours, so only the status is taken over. */
function fromHttp(status: number, request: FastifyRequest, routes: RouteTable): Problem {
  switch (status) {
    case 404: {
      const allowed = routes.allowed(request.url);
      if (allowed.length === 0) return new Problem('not_found', 'There is no such route. See /docs.');
      return new Problem('method_not_allowed', `This path takes ${allowed.join(', ')}.`);
    }
    case 413: {
      const limit = request.routeOptions.bodyLimit;
      return new Problem('payload_too_large', `A body here has at most ${limit} bytes.`, { limit });
    }
    case 415:
      return new Problem('unsupported_media_type', 'Send the body as application/json.');
    default: {
      const code: ErrorCode =
        status === 503 ? 'unavailable' : status < 500 ? 'invalid_request' : 'internal_error';
      return new Problem(
        code,
        status < 500 ? 'The request could not be read.' : 'The request failed on our side.',
      );
    }
  }
}
