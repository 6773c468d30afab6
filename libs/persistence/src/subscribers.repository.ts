import { boundTo, EXTERNAL_ID_LENGTH_MAX, type Scope } from '@app/contracts';
import { fromPublicId } from '@app/domain';
import { IsNull, type FindOptionsWhere } from 'typeorm';
import type { Database, Tx } from './database.js';
import { Predicates } from './predicates.js';
import { SubscriberEntity } from './entities/subscriber.entity.js';

/** A Database, for reading, or a Tx. */
export type Reads = Pick<Database, 'query'>;

export interface PageOfRows {
  /** How many rows at most; one more than is shown says whether there is a next page. */
  limit: number;
  after?: string;
}

const COLUMNS = `id, external_id AS "externalId", name, metadata, encrypt_payloads AS "encryptPayloads",
  created_at AS "createdAt", updated_at AS "updatedAt", deleted_at AS "deletedAt"`;

/** Subscribers that are not deleted, as far as the scope sees them. */
export const subscribersRepository = {
  /** By `sub_…` or by the company's own id. Null when there is none, or none that this scope may know of. */
  async find(on: Reads, scope: Scope, reference: string): Promise<SubscriberEntity | null> {
    const where = whereIs(scope, reference);
    if (where === null) return null;
    const { id = null, externalId = null } = where as { id?: string; externalId?: string };
    const [row] = await on.query<SubscriberEntity>(
      // Whichever is asked for has its index; the other is not looked at.
      `SELECT ${COLUMNS} FROM subscribers WHERE deleted_at IS NULL
        ${id === null ? '' : 'AND id = $1'} ${externalId === null ? '' : `AND external_id = $${id === null ? 1 : 2}`}`,
      [id, externalId].filter((each) => each !== null),
    );
    return row ?? null;
  },

  /** The same, and nobody else changes it until the end of the transaction. */
  async lock(tx: Tx, scope: Scope, reference: string): Promise<SubscriberEntity | null> {
    const where = whereIs(scope, reference);
    return where && tx.manager.findOne(SubscriberEntity, { where, lock: { mode: 'pessimistic_write' } });
  },

  /** Newest first. */
  async list(on: Reads, scope: Scope, page: PageOfRows): Promise<SubscriberEntity[]> {
    const predicates = new Predicates(scope, 's.id').add('s.id', '<', page.after);
    return on.query<SubscriberEntity>(
      `SELECT ${COLUMNS} FROM subscribers s ${predicates.where || 'WHERE true'} AND s.deleted_at IS NULL
        ORDER BY s.id DESC LIMIT ${predicates.parameter(page.limit)}`,
      predicates.values,
    );
  },

  /** @throws a violation of `subscribers_external_id` when another one has the external id. */
  async insert(
    tx: Tx,
    row: Pick<SubscriberEntity, 'id' | 'externalId' | 'name' | 'metadata' | 'encryptPayloads'>,
  ): Promise<SubscriberEntity> {
    await tx.manager.insert(SubscriberEntity, row);
    await tx.vault.makeKeys(tx, [row.id]);
    return tx.manager.findOneByOrFail(SubscriberEntity, { id: row.id });
  },

  /** @throws as insert */
  async update(
    tx: Tx,
    id: string,
    changes: Partial<Pick<SubscriberEntity, 'externalId' | 'name' | 'metadata' | 'encryptPayloads'>>,
  ): Promise<SubscriberEntity> {
    await tx.manager.update(SubscriberEntity, { id }, { ...changes, updatedAt: () => 'now()' });
    return tx.manager.findOneByOrFail(SubscriberEntity, { id });
  },

  /**
   * With its endpoints: deliveries on their way there end. The rows stay for the history; its data key does not, so that
   * nobody reads what was sealed for it any more.
   */
  async delete(tx: Tx, id: string): Promise<void> {
    await tx.query(
      'UPDATE endpoints SET deleted_at = now(), updated_at = now() WHERE subscriber_id = $1 AND deleted_at IS NULL',
      [id],
    );
    await tx.query(
      'UPDATE subscribers SET deleted_at = now(), updated_at = now() WHERE id = $1 AND deleted_at IS NULL',
      [id],
    );
    await tx.query('DELETE FROM data_keys WHERE subscriber_id = $1', [id]);
  },
};

/** Undefined for what cannot be the name of any subscriber: asking the database would be an error or a waste. */
function whereIs(scope: Scope, reference: string): FindOptionsWhere<SubscriberEntity> | null {
  const bound = boundTo(scope);
  if (reference.startsWith('sub_')) {
    const id = fromPublicId('sub', reference);
    return id === undefined || (bound !== null && bound !== id) ? null : { id, deletedAt: IsNull() };
  }
  if (reference.length > EXTERNAL_ID_LENGTH_MAX || reference.includes('\0') || !reference.isWellFormed())
    return null;
  return { externalId: reference, deletedAt: IsNull(), ...(bound === null ? {} : { id: bound }) };
}
