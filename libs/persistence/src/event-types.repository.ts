import type { Database, Tx } from './database.js';
import { EventTypeEntity } from './entities/event-type.entity.js';
import { EventTypeVersionEntity } from './entities/event-type-version.entity.js';
import type { PageOfRows } from './subscribers.repository.js';

/** A type with its versions, the first registered (the default) first. */
export type EventTypeRow = EventTypeEntity & { versions: EventTypeVersionEntity[] };

export interface VersionChange {
  version: string;
  /** Undefined leaves it as it is. */
  description?: string;
  /** JSON text; null forgets it, undefined leaves it as it is. */
  example?: string | null;
}

type Queries = Pick<Database, 'query'>;

// to_json would print timestamps with microseconds and an offset; the epoch survives as a number.
const SELECT = `SELECT t.name, t.description, t.retry_policy AS "retryPolicy", t.created_at AS "createdAt", t.updated_at AS "updatedAt",
    (SELECT coalesce(json_agg(json_build_object('version', v.version, 'description', v.description, 'example', v.example,
              'eventType', v.event_type, 'createdAtMs', extract(epoch FROM v.created_at) * 1000)
              ORDER BY v.created_at, v.version), '[]')
       FROM event_type_versions v WHERE v.event_type = t.name) AS versions
  FROM event_types t`;

type Selected = EventTypeEntity & {
  versions: (Omit<EventTypeVersionEntity, 'createdAt'> & { createdAtMs: number })[];
};

/** The catalogue. It belongs to the company, not to a subscriber, so nothing here takes a Scope. */
export const eventTypesRepository = {
  async find(on: Queries, name: string): Promise<EventTypeRow | null> {
    const [row] = await on.query<Selected>(`${SELECT} WHERE t.name = $1`, [name]);
    return row ? toRow(row) : null;
  },

  /** By name; `after` is a name. */
  async list(on: Queries, page: PageOfRows): Promise<EventTypeRow[]> {
    const rows = await on.query<Selected>(
      `${SELECT} WHERE $1::text IS NULL OR t.name COLLATE "C" > $1 ORDER BY t.name COLLATE "C" LIMIT $2`,
      [page.after ?? null, page.limit],
    );
    return rows.map(toRow);
  },

  /** Nobody else changes it until the end of the transaction. Answers whether there is such a type. */
  async lock(tx: Tx, name: string): Promise<boolean> {
    return (await tx.query('SELECT 1 FROM event_types WHERE name = $1 FOR UPDATE', [name])).length > 0;
  },

  /** Answers false when the name is taken. */
  async insert(
    tx: Tx,
    type: Pick<EventTypeEntity, 'name' | 'description' | 'retryPolicy'>,
  ): Promise<boolean> {
    const rows = await tx.query(
      `INSERT INTO event_types (name, description, retry_policy) VALUES ($1, $2, $3)
       ON CONFLICT DO NOTHING RETURNING name`,
      [type.name, type.description, type.retryPolicy],
    );
    return rows.length > 0;
  },

  /** Notes the change, also when only a version changed. */
  async update(
    tx: Tx,
    name: string,
    { description, retryPolicy }: Partial<Pick<EventTypeEntity, 'description' | 'retryPolicy'>>,
  ): Promise<void> {
    await tx.query(
      `UPDATE event_types SET description = coalesce($2, description), updated_at = now(),
              retry_policy = CASE WHEN $3 THEN $4::jsonb ELSE retry_policy END
        WHERE name = $1`,
      [name, description ?? null, retryPolicy !== undefined, retryPolicy ?? null],
    );
  },

  /** Adds and changes versions. A millisecond apart, so that the order given is the order kept: the first is the default. */
  async putVersions(tx: Tx, name: string, versions: VersionChange[]): Promise<void> {
    await tx.query(
      `INSERT INTO event_type_versions AS v (event_type, version, description, example, created_at)
       SELECT $1, n.version, coalesce(n.description, ''), n.example, now() + n.at * interval '1 millisecond'
         FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS n (version, description, example, at)
        ORDER BY n.at
       ON CONFLICT (event_type, version) DO UPDATE SET
         description = CASE WHEN excluded.version = ANY($5::text[]) THEN excluded.description ELSE v.description END,
         example = CASE WHEN excluded.version = ANY($6::text[]) THEN excluded.example ELSE v.example END`,
      [
        name,
        versions.map((each) => each.version),
        versions.map((each) => each.description ?? null),
        versions.map((each) => each.example ?? null),
        versions.filter((each) => each.description !== undefined).map((each) => each.version),
        versions.filter((each) => each.example !== undefined).map((each) => each.version),
      ],
    );
  },

  /** With its versions. Events of this type stay. Answers whether there was one. */
  async delete(tx: Tx, name: string): Promise<boolean> {
    return (await tx.query('DELETE FROM event_types WHERE name = $1 RETURNING name', [name])).length > 0;
  },
};

function toRow(row: Selected): EventTypeRow {
  return {
    ...row,
    versions: row.versions.map(({ createdAtMs, ...version }) => ({
      ...version,
      createdAt: new Date(createdAtMs),
    })),
  };
}
