import type { AuditActorKind } from '@app/contracts';
import { ListAuditQueryDto, type AuditEntryDto, type AuditPageDto } from '@app/dto';
import { fromPublicId, toPublicId } from '@app/domain';
import { auditRepository, Database, type AuditFilter, type AuditRow } from '@app/persistence';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { instantFilter, subscriberFilter } from '../deliveries/status-filters.js';
import { CurrentCaller, type Caller } from '../edge/caller.js';
import { pageOf, parsePage } from '../edge/page.js';
import { RequireScope } from '../edge/require-scope.decorator.js';

@ApiTags('Audit log')
@Controller('v1/audit-log')
export class AuditController {
  constructor(private readonly database: Database) {}

  /** List what was done, newest first. Who changed what and from where, and who looked at a secret. */
  @Get()
  @RequireScope('admin')
  async list(@CurrentCaller() caller: Caller, @Query() query: ListAuditQueryDto): Promise<AuditPageDto> {
    const page = parsePage(query);
    const filter = {
      // A deleted subscriber is found by its id: what was done to it is what one asks about.
      subscriberId:
        query.subscriber === undefined
          ? undefined
          : (fromPublicId('sub', query.subscriber) ??
            (await subscriberFilter(this.database, caller.scope, query.subscriber))),
      ...actorFilter(query.actor),
      action: query.action,
      object: query.object,
      since: instantFilter('since', query.since),
      until: instantFilter('until', query.until),
    };
    const rows = await auditRepository.list(this.database, caller.scope, filter, page);
    return pageOf(rows, page.limit, (row) => row.id, auditView);
  }
}

function actorFilter(actor: string | undefined): Pick<AuditFilter, 'actorKind' | 'actorId'> {
  if (actor === undefined) return {};
  const id = fromPublicId('key', actor) ?? fromPublicId('tok', actor);
  return id === undefined ? { actorKind: actor as AuditActorKind } : { actorId: id };
}

const PREFIXES = { key: 'key', token: 'tok' } as const;

function auditView(row: AuditRow): AuditEntryDto {
  const { kind, id } = row.actor;
  return {
    id: toPublicId('aud', row.id),
    at: row.at,
    actor: { kind, id: kind === 'key' || kind === 'token' ? toPublicId(PREFIXES[kind], id) : id },
    action: row.action,
    route: row.route,
    object: row.object,
    subscriber: row.subscriberId && toPublicId('sub', row.subscriberId),
    before: row.before,
    after: row.after,
    ip: row.ip,
    requestId: row.requestId,
  };
}
