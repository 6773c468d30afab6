import type { AuditAction, AuditActorKind, Scope } from '@app/contracts';
import type { AuditChange } from '@app/domain';
import type { Database, Tx } from './database.js';
import { Predicates } from './predicates.js';
import type { PageRequest, Reader } from './status.queries.js';

/** Who did it. Of a key or a token its uuid; of the command line the user of the machine, of Posthorn the part that acted. */
export interface AuditActor {
  kind: AuditActorKind;
  id: string;
}

/** One change that somebody made, or one look at a secret. */
export interface AuditRecord extends AuditChange {
  id: string;
  actor: AuditActor;
  action: AuditAction;
  /** Method and route template; null for what did not come through the API. */
  route: string | null;
  /** What it was done to, as the outside calls it. */
  object: string;
  subscriberId: string | null;
  ip: string | null;
  requestId: string | null;
}

export interface AuditRow extends Omit<AuditRecord, 'action'> {
  /** A row that is older than these names has its method and route here. */
  action: string;
  at: Date;
}

/** Every filter of the list; what is left out does not narrow. */
export interface AuditFilter {
  subscriberId?: string;
  actorKind?: AuditActorKind;
  actorId?: string;
  action?: string;
  object?: string;
  since?: Date;
  until?: Date;
}

export const auditRepository = {
  /** In the transaction of the change: there is no change without its line, and no line without its change. */
  async insert(tx: Tx, record: AuditRecord): Promise<void> {
    await tx.query(
      `INSERT INTO audit_log (id, actor_kind, actor, action, route, object, subscriber_id, before, after, ip, request_id)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        record.id,
        record.actor.kind,
        record.actor.id,
        record.action,
        record.route,
        record.object,
        record.subscriberId,
        record.before && JSON.stringify(record.before),
        record.after && JSON.stringify(record.after),
        record.ip,
        record.requestId,
      ],
    );
  },

  /** Newest first. Served by audit_log_subscriber, _actor, _action or _object; without any of them by the key. */
  async list(reader: Reader, scope: Scope, filter: AuditFilter, page: PageRequest): Promise<AuditRow[]> {
    const predicates = new Predicates(scope, 'subscriber_id')
      .add('subscriber_id', '=', filter.subscriberId)
      .add('actor_kind', '=', filter.actorKind)
      .add('actor', '=', filter.actorId)
      .add('action', '=', filter.action)
      .add('object', '=', filter.object)
      .within('id', filter.since, filter.until)
      .add('id', '<', page.after);
    const rows = await reader.query<Omit<AuditRow, 'actor'> & { kind: AuditActorKind; actor: string }>(
      `SELECT id, at, actor_kind AS kind, actor, action, route, object, subscriber_id AS "subscriberId", before, after,
              ip, request_id AS "requestId"
         FROM audit_log ${predicates.where} ORDER BY id DESC LIMIT ${predicates.parameter(page.limit + 1)}`,
      predicates.values,
    );
    return rows.map(({ kind, actor, ...row }) => ({ ...row, actor: { kind, id: actor } }));
  },

  /**
   * Forgets rows that are older than so many days, at most so many. Only this function can: roles may insert and read, and
   * it leaves alone whatever is younger than 90 days, whoever calls it.
   */
  async deleteOld(database: Database, days: number, max: number): Promise<number> {
    const [row] = await database.query<{ n: number }>('SELECT posthorn_forget_audit($1, $2) AS n', [
      days,
      max,
    ]);
    return row.n;
  },
};
