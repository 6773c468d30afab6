import { Problem, type ApiScope } from '@app/contracts';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { callerOf } from './caller.js';
import { OPEN_TO_CUSTOMERS } from './open-to-customers.decorator.js';
import { REQUIRED_SCOPE } from './require-scope.decorator.js';

/** Where keys are asked for, beside METRICS_ROUTE. Health and documentation lie outside. */
export const KEYED_PREFIX = '/v1/';
export const METRICS_ROUTE = '/metrics';

/** Whether the key, or a customer's token, may do this. Who it is was settled before the body was read (authentication.ts). */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const required = this.reflector.getAllAndOverride<ApiScope | undefined>(REQUIRED_SCOPE, [
      context.getHandler(),
      context.getClass(),
    ]);
    if (required === undefined) {
      // Closed by default: a route that forgot its scope is refused, not open.
      if (request.routeOptions.url?.startsWith(KEYED_PREFIX))
        throw new Error(`Bug: ${request.method} ${request.routeOptions.url} names no scope`);
      return true;
    }
    if (request.isScraper) return true;
    const { kind, scopes } = callerOf(request);
    // Closed by default again: whatever scopes a token has, it only reaches what is open to customers.
    const isOpen = this.reflector.get<boolean | undefined>(OPEN_TO_CUSTOMERS, context.getHandler()) === true;
    if (kind === 'token' && !isOpen)
      throw new Problem('forbidden', 'This needs an API key; access tokens of customers do not reach it.');
    if (!scopes.includes(required) && !scopes.includes('admin'))
      throw new Problem('forbidden', `This needs a key with the scope ${required}.`);
    return true;
  }
}
