import type { ApiScope, ErrorCode, Scope } from '@app/contracts';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** Who asks: the API key behind a request, and what the audit log wants to know of the request. */
export interface Caller {
  /** uuid of the key. */
  keyId: string;
  scopes: ApiScope[];
  /** Whose data this key may see. */
  scope: Scope;
  requestId: string;
  ip: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the authentication hook on every route under /v1. */
    caller?: Caller;
    /** Set on /metrics when POSTHORN_METRICS_KEY was sent; there is no caller then. */
    isScraper?: boolean;
    /** The body exactly as it came; on the publishing routes nobody has parsed it. */
    rawBody?: Buffer;
    /** The code of the problem that was answered, for the request's log line. */
    problemCode?: ErrorCode;
  }
}

export function callerOf(request: FastifyRequest): Caller {
  if (!request.caller)
    throw new Error(`Bug: no caller on ${request.method} ${request.routeOptions.url ?? ''}`);
  return request.caller;
}

/** The caller of this request, for a controller's parameter. */
export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller =>
  callerOf(context.switchToHttp().getRequest<FastifyRequest>()),
);
