import { createHash } from 'node:crypto';
import { DELIVER_QUEUE, DUE_CHANNEL } from '@app/contracts';
import type { WrappedKey } from '@app/sealing';
import type { Tx } from './database.js';
import { dataAt, openData, type SealedEvent } from './sealed-payloads.js';

/** An endpoint as far as matching needs it. */
export interface EndpointForMatch {
  id: string;
  eventTypes: string[];
  disabled: boolean;
  /** Its lane takes nothing more at the moment: new deliveries are held. */
  laneFull: boolean;
  /** Its deliveries go one after the other. */
  ordered: boolean;
}

/** A subscriber with every endpoint that is not deleted. */
export interface SubscriberForAccept {
  id: string;
  externalId: string | null;
  /** Its new events are stored sealed. */
  encryptPayloads: boolean;
  /** What they are sealed with; null for one from before there were keys. */
  dataKey: WrappedKey | null;
  endpoints: EndpointForMatch[];
  /** Deliveries of all these endpoints that have not ended. */
  pending: number;
}

export interface NewEvent {
  id: string;
  subscriberId: string;
  type: string;
  version: string;
  /** The publisher's bytes, exactly. */
  data: string;
  /** What `data` is stored sealed with; null: as it is. */
  sealWith: WrappedKey | null;
  matched: number;
  traceparent: string | null;
  occurredAt: Date;
  priority: 'critical' | 'normal';
  orderingKey: string | null;
}

export interface NewDelivery {
  id: string;
  subscriberId: string;
  eventId: string;
  endpointId: string;
  eventType: string;
  trigger: 'event' | 'test';
  critical: boolean;
  /** Whom it waits for: the deliveries before it of the same endpoint and key. Null: for nobody. */
  orderingKey: string | null;
  /** `cancelled` for a disabled endpoint; `queued` has its ticket, and is held after all when its lane has no room. */
  place: 'queued' | 'held' | 'cancelled';
}

/** An event that has an id somebody wants. */
export interface KnownEvent {
  id: string;
  subscriber_id: string;
  type: string;
  version: string;
  data_hash: Buffer | null;
  matched: number;
}

/** The SQL of T1. Every method is one statement. */
export const acceptRepository = {
  async resolveSubscribers(tx: Tx, ids: string[], externalIds: string[]): Promise<SubscriberForAccept[]> {
    const rows = await tx.prepared<{
      id: string;
      external_id: string | null;
      encrypt_payloads: boolean;
      kek_id: string | null;
      wrapped: Buffer;
      endpoint_id: string | null;
      event_types: string[];
      disabled: boolean;
      lane_full: boolean;
      ordered: boolean;
      pending: number;
    }>(
      'accept_subscribers',
      `SELECT s.id, s.external_id, s.encrypt_payloads, y.kek_id, y.wrapped, e.id AS endpoint_id, e.event_types, e.disabled_at IS NOT NULL AS disabled, e.ordered,
              l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 OR l.queued >= l.window_size AS lane_full,
              l.queued + l.held + l.waiting AS pending
         FROM subscribers s
         LEFT JOIN data_keys y ON y.subscriber_id = s.id
         LEFT JOIN endpoints e ON e.subscriber_id = s.id AND e.deleted_at IS NULL
         LEFT JOIN lanes l ON l.endpoint_id = e.id AND l.subscriber_id = e.subscriber_id
        WHERE s.deleted_at IS NULL AND s.id = ANY (array(
                SELECT unnest($1::uuid[]) UNION ALL
                SELECT x.id FROM subscribers x WHERE x.deleted_at IS NULL AND x.external_id = ANY ($2::text[])))`,
      [ids, externalIds],
    );
    const found = new Map<string, SubscriberForAccept>();
    for (const row of rows) {
      let subscriber = found.get(row.id);
      if (!subscriber) found.set(row.id, (subscriber = subscriberOf(row)));
      if (row.endpoint_id) {
        subscriber.pending += row.pending;
        subscriber.endpoints.push({
          id: row.endpoint_id,
          eventTypes: row.event_types,
          disabled: row.disabled,
          laneFull: row.lane_full,
          ordered: row.ordered,
        });
      }
    }
    return [...found.values()];
  },

  /** Versions of each type that exists, the first registered first. */
  async resolveEventTypes(tx: Tx, names: string[]): Promise<Map<string, string[]>> {
    const rows = await tx.prepared<{ name: string; versions: string[] }>(
      'accept_event_types',
      `SELECT t.name, array(SELECT v.version FROM event_type_versions v WHERE v.event_type = t.name
                             ORDER BY v.created_at, v.version) AS versions
         FROM event_types t WHERE t.name = ANY($1::text[])`,
      [names],
    );
    return new Map(rows.map((row) => [row.name, row.versions]));
  },

  /** Creates what is missing; of two publishers who do so at once, both succeed. In order of name: no deadlock. */
  async createEventTypes(tx: Tx, types: { name: string; version: string }[]): Promise<void> {
    const sorted = [...types].sort((a, b) => (a.name + a.version < b.name + b.version ? -1 : 1));
    const names = sorted.map((type) => type.name);
    const versions = sorted.map((type) => type.version);
    await tx.query(
      `INSERT INTO event_types (name) SELECT DISTINCT n FROM unnest($1::text[]) AS n ORDER BY n ON CONFLICT DO NOTHING`,
      [names],
    );
    await tx.query(
      `INSERT INTO event_type_versions (event_type, version)
       SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING`,
      [names, versions],
    );
  },

  /** Makes two groups that carry the same own ids wait for each other, in order of id. */
  async lockEventIds(tx: Tx, sortedIds: string[]): Promise<void> {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtextextended(i, 21)) FROM unnest($1::text[]) AS i`, [
      sortedIds,
    ]);
  },

  /** Events that already have one of these ids, whoever's they are, with the sha256 of their data; null when that cannot be read any more. */
  async findEvents(tx: Tx, ids: string[]): Promise<KnownEvent[]> {
    const rows = await tx.query<KnownEvent & SealedEvent>(
      `SELECT e.id, e.subscriber_id, e.type, e.version, sha256(convert_to(e.data, 'UTF8')) AS data_hash, e.matched,
              e.data_sealed AS "dataSealed", y.kek_id AS "kekId", y.wrapped
         FROM events e LEFT JOIN data_keys y ON y.subscriber_id = e.subscriber_id AND e.data_sealed IS NOT NULL
        WHERE e.id = ANY($1::uuid[])`,
      [ids],
    );
    return rows.map(({ dataSealed, kekId, wrapped, ...row }) => {
      if (dataSealed === null) return row;
      const data = openData(tx.vault, {
        ...row,
        subscriberId: row.subscriber_id,
        dataSealed,
        kekId,
        wrapped,
      });
      return { ...row, data_hash: data === null ? null : createHash('sha256').update(data).digest() };
    });
  },

  /**
   * Takes places in the lanes for so many new deliveries of each endpoint and counts the rest as held. Answers
   * how many got a place. Lanes are locked in order of their id, as in T2, so two groups never wait in a circle.
   * A lane that holds some holds the new ones too: the oldest go first.
   */
  async takeRoom(tx: Tx, wanted: Map<string, number>): Promise<Map<string, number>> {
    const rows = await tx.prepared<{ endpoint_id: string; granted: number }>(
      'accept_take_room',
      `WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS w (endpoint_id, n)),
       locked AS (
         SELECT l.endpoint_id, w.n,
                CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
                     ELSE least(w.n, greatest(l.window_size - l.queued, 0)) END AS granted
           FROM lanes l JOIN wanted w ON w.endpoint_id = l.endpoint_id
          ORDER BY l.endpoint_id FOR UPDATE OF l)
       UPDATE lanes l SET queued = l.queued + k.granted, held = l.held + k.n - k.granted
         FROM locked k WHERE l.endpoint_id = k.endpoint_id
       RETURNING l.endpoint_id, k.granted`,
      [[...wanted.keys()], [...wanted.values()]],
    );
    return new Map(rows.map((row) => [row.endpoint_id, row.granted]));
  },

  /**
   * Writes the events and their deliveries, takes places in the lanes, and wakes the pumps at commit with `notice`. The tickets of
   * `queued` deliveries are inserted already: those of the few that find their lane full after all are taken back.
   * Lanes are locked in order of their id, and last: the commit follows at once. (jsonb as a hash table: the hot
   * connections join by loops only, and a batch may make a hundred thousand deliveries. The queue is looked at only when a
   * ticket is to be taken back, and once: as a join the planner, who takes the queue for empty, walked over all of it for
   * every group, 18 of 19 ms with 2,560 tickets in it.) Under the lane's lock critical ones go before the lane's backlog, as
   * many again as its window; each
   * delivery gets its number in the order of acceptance: what ordered endpoints go by, whatever the clocks of two apis say.
   */
  async insert(tx: Tx, events: NewEvent[], deliveries: NewDelivery[], notice: string | null): Promise<void> {
    await tx.prepared(
      'accept_insert',
      `WITH input AS (
         SELECT d.*, row_number() OVER (PARTITION BY endpoint_id, place, trigger = 'test', critical ORDER BY at) AS turn,
                row_number() OVER (PARTITION BY endpoint_id ORDER BY at) AS nth
           FROM unnest($9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[],
                       $16::bool[], $17::text[])
                WITH ORDINALITY AS d (id, subscriber_id, event_id, endpoint_id, event_type, trigger, place, critical, ordering_key, at)),
       wanted AS (
         SELECT endpoint_id, count(*) FILTER (WHERE place = 'queued')::int AS queued,
                count(*) FILTER (WHERE place = 'queued' AND trigger = 'test')::int AS tests,
                count(*) FILTER (WHERE place = 'queued' AND trigger <> 'test' AND critical)::int AS criticals,
                count(*) FILTER (WHERE place = 'held')::int AS held, count(*)::int AS all_of_it
           FROM input GROUP BY endpoint_id),
       locked AS (
         SELECT l.endpoint_id, w.queued, w.held, w.all_of_it, l.accepted,
                CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
                     ELSE least(w.queued - w.tests - w.criticals, greatest(l.window_size - l.queued, 0)) END AS granted,
                CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' THEN 0
                     ELSE least(w.criticals, greatest(2 * l.window_size - l.queued, 0)) END AS criticals,
                CASE WHEN l.paused_at IS NOT NULL THEN 0 ELSE w.tests END AS tests
           FROM lanes l JOIN wanted w ON w.endpoint_id = l.endpoint_id
          ORDER BY l.endpoint_id FOR UPDATE OF l),
       counted AS (
         UPDATE lanes l SET queued = l.queued + k.granted + k.criticals + k.tests,
                held = l.held + k.held + k.queued - k.granted - k.criticals - k.tests,
                accepted = l.accepted + k.all_of_it
           FROM locked k WHERE l.endpoint_id = k.endpoint_id),
       room AS (SELECT coalesce(jsonb_object_agg(endpoint_id, granted), '{}') AS granted,
                         coalesce(jsonb_object_agg(endpoint_id, criticals), '{}') AS criticals,
                         coalesce(jsonb_object_agg(endpoint_id, tests), '{}') AS tests,
                         coalesce(jsonb_object_agg(endpoint_id, accepted), '{}') AS accepted FROM locked),
       placed AS (
         SELECT i.*, CASE WHEN i.place = 'queued' AND i.turn > coalesce((
                            (SELECT CASE WHEN i.trigger = 'test' THEN tests WHEN i.critical THEN criticals ELSE granted END FROM room) ->> i.endpoint_id::text)::int, 0)
                          THEN 'held' ELSE i.place END AS taken,
                coalesce(((SELECT accepted FROM room) ->> i.endpoint_id::text)::bigint, 0) + i.nth AS seq
           FROM input i),
       new_events AS (
         INSERT INTO events (id, subscriber_id, type, version, data, matched, traceparent, occurred_at, priority, ordering_key, data_sealed)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::timestamptz[],
                              $18::text[], $19::text[], $21::bytea[])),
       new_deliveries AS (
         INSERT INTO deliveries (id, subscriber_id, event_id, endpoint_id, event_type, trigger, seq, critical, ordering_key,
                                 status, place, due_at, set_aside, set_aside_at, cancel_reason, finished_at)
         SELECT d.id, d.subscriber_id, d.event_id, d.endpoint_id, d.event_type, d.trigger, d.seq, d.critical, d.ordering_key,
                CASE d.taken WHEN 'cancelled' THEN 'cancelled' ELSE 'pending' END,
                nullif(d.taken, 'cancelled'),
                CASE WHEN d.taken <> 'cancelled' THEN now() END,
                -- As the table's trigger would; that is 2 of 20 µs.
                CASE WHEN d.taken = 'held' THEN 'held' END,
                CASE WHEN d.taken = 'held' THEN now() END,
                CASE WHEN d.taken = 'cancelled' THEN 'endpoint_disabled' END,
                CASE WHEN d.taken = 'cancelled' THEN now() END
           FROM placed d),
       late AS (SELECT array_agg(id) AS ids FROM placed WHERE place = 'queued' AND taken = 'held'),
       withdrawn AS (
         DELETE FROM pgboss.job j
          WHERE (SELECT ids IS NOT NULL FROM late) AND j.name = '${DELIVER_QUEUE}' AND j.id = ANY ((SELECT ids FROM late)::uuid[]))
       SELECT pg_notify('${DUE_CHANNEL}', $20) WHERE $20::text IS NOT NULL`,
      [
        events.map((e) => e.id),
        events.map((e) => e.subscriberId),
        events.map((e) => e.type),
        events.map((e) => e.version),
        events.map((e) => (e.sealWith ? null : e.data)),
        events.map((e) => e.matched),
        events.map((e) => e.traceparent),
        events.map((e) => e.occurredAt),
        deliveries.map((d) => d.id),
        deliveries.map((d) => d.subscriberId),
        deliveries.map((d) => d.eventId),
        deliveries.map((d) => d.endpointId),
        deliveries.map((d) => d.eventType),
        deliveries.map((d) => d.trigger),
        deliveries.map((d) => d.place),
        deliveries.map((d) => d.critical),
        deliveries.map((d) => d.orderingKey),
        events.map((e) => e.priority),
        events.map((e) => e.orderingKey),
        notice,
        events.map((e) => e.sealWith && tx.vault.unwrap(e.sealWith).seal(dataAt(e.id), e.data)),
      ],
    );
  },
};

function subscriberOf(row: {
  id: string;
  external_id: string | null;
  encrypt_payloads: boolean;
  kek_id: string | null;
  wrapped: Buffer;
}): SubscriberForAccept {
  return {
    id: row.id,
    externalId: row.external_id,
    encryptPayloads: row.encrypt_payloads,
    dataKey: row.kek_id === null ? null : { subscriberId: row.id, kekId: row.kek_id, wrapped: row.wrapped },
    endpoints: [],
    pending: 0,
  };
}
