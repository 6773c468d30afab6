import type { ApiScope, ErrorCode, Scope } from '@app/contracts';
import type { CredentialKind } from '@app/endpoints';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

/** Who asks: the API key or access token behind a request, and what the audit log wants to know of the request. */
export interface Caller {
  /** A company's key, or the token of a customer, who only reaches the routes that are open to customers. */
  kind: CredentialKind;
  /** uuid of the key or token. */
  keyId: string;
  scopes: ApiScope[];
  /** Whose data it may see; a token always one subscriber's. */
  scope: Scope;
  requestId: string;
  /** As clientAddress has it. */
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
