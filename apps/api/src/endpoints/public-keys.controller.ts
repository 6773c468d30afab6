import { ListJwksQueryDto, type JwksDto, type PublicKeysDto } from '@app/dto';
import { fromPublicId, toPublicId } from '@app/domain';
import { EndpointSecrets } from '@app/endpoints';
import { Database, publicKeysRepository } from '@app/persistence';
import { publicJwk } from '@app/signing';
import { Controller, Get, Header, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { pageOf, parsePage } from '../edge/page.js';
import { RequireScope } from '../edge/require-scope.decorator.js';
import { endpointReference, publicKeyView } from './endpoint.view.js';

// Shorter than the shortest overlap that anybody should rotate with, long enough that a receiver need not ask for each request.
const CACHED = 'private, max-age=300';
// Nobody's uuid: what is not the form of an id is no endpoint, and has no keys.
const NOBODY = '00000000-0000-0000-0000-000000000000';

@ApiTags('Endpoints')
@Controller('v1')
export class PublicKeysController {
  constructor(
    private readonly secrets: EndpointSecrets,
    private readonly database: Database,
  ) {}

  /** Show the public keys of an endpoint. Those that sign now, newest first: what its receiver verifies `v1a` signatures with. */
  @Get('subscribers/:subscriber/endpoints/:endpoint/public-key')
  @Header('cache-control', CACHED)
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('not_found')
  async ofEndpoint(
    @CurrentCaller() caller: Caller,
    @Param('subscriber') subscriber: string,
    @Param('endpoint') endpoint: string,
  ): Promise<PublicKeysDto> {
    const reference = endpointReference(subscriber, endpoint);
    const keys = await this.secrets.listPublicKeys(this.database, caller.scope, reference);
    return { data: keys.map(publicKeyView) };
  }

  /** List public keys as a JWK Set. Of one endpoint, which is what a receiver asks for, or of all that the key may see. */
  @Get('jwks')
  @Header('cache-control', CACHED)
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  async jwks(@CurrentCaller() caller: Caller, @Query() query: ListJwksQueryDto): Promise<JwksDto> {
    const { limit, after } = parsePage(query);
    const endpointId = query.endpoint === undefined ? null : (fromPublicId('ep', query.endpoint) ?? NOBODY);
    const page = { limit: limit + 1, after };
    const rows = await publicKeysRepository.list(this.database, caller.scope, endpointId, page);
    const { data, nextCursor } = pageOf(
      rows,
      limit,
      (row) => row.id,
      (row) => ({ ...publicJwk(row.publicKey), endpoint: toPublicId('ep', row.endpointId) }),
    );
    return { keys: data, nextCursor };
  }
}
