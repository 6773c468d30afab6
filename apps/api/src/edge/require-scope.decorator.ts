import type { ApiScope } from '@app/contracts';
import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';

export const REQUIRED_SCOPE = 'posthorn:required-scope';
/** Read by docs/declare-problems.ts: names the scope in the description and adds what every keyed route may answer. */
export const SCOPE_EXTENSION = 'x-required-scope';

/** The scope that a key must have for this route; `admin` has them all. Every route under /v1 names one. */
export const RequireScope = (scope: ApiScope) =>
  applyDecorators(
    SetMetadata(REQUIRED_SCOPE, scope),
    ApiBearerAuth('apiKey'),
    ApiExtension(SCOPE_EXTENSION, scope),
  );
