import { createHash } from 'node:crypto';
import { DELIVER_QUEUE, DUE_CHANNEL } from '@app/contracts';
import type { WrappedKey } from '@app/sealing';
import type { Tx } from './database.js';
import { formOf, given, inBothForms, type Form } from './given.js';
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

/** How many places new deliveries want in their endpoint's lane; tests and critical ones are among the queued. */
interface WantedPlaces {
  endpointId: string;
  queued: number;
  tests: number;
  criticals: number;
  held: number;
  all: number;
}

interface NumberedDelivery extends NewDelivery {
  /** Which of those that share room in the lane: tests, critical ones and the others do. From 1. */
  turn: number;
  /** Which of all that its endpoint gets here. From 1. */
  nth: number;
}

const PLACES = given<WantedPlaces>([
  ['endpoint_id', 'uuid', (w) => w.endpointId],
  ['queued', 'int', (w) => w.queued],
  ['tests', 'int', (w) => w.tests],
  ['criticals', 'int', (w) => w.criticals],
  ['held', 'int', (w) => w.held],
  ['all_of_it', 'int', (w) => w.all],
]);

const DELIVERY = given<NumberedDelivery>(
  [
    ['id', 'uuid', (d) => d.id],
    ['subscriber_id', 'uuid', (d) => d.subscriberId],
    ['event_id', 'uuid', (d) => d.eventId],
    ['endpoint_id', 'uuid', (d) => d.endpointId],
    ['event_type', 'text', (d) => d.eventType],
    ['trigger', 'text', (d) => d.trigger],
    ['place', 'text', (d) => d.place],
    ['critical', 'bool', (d) => d.critical],
    ['ordering_key', 'text', (d) => d.orderingKey],
    ['turn', 'int', (d) => d.turn],
    ['nth', 'int', (d) => d.nth],
  ],
  PLACES.next,
);

const EVENT = given<NewEvent & { sealed: Buffer | null }>(
  [
    ['id', 'uuid', (e) => e.id],
    ['subscriber_id', 'uuid', (e) => e.subscriberId],
    ['type', 'text', (e) => e.type],
    ['version', 'text', (e) => e.version],
    ['data', 'text', (e) => (e.sealed ? null : e.data)],
    ['matched', 'int', (e) => e.matched],
    ['traceparent', 'text', (e) => e.traceparent],
    // In UTC the last hours of 9999 may be of 10000, which is written +010000 here: PostgreSQL takes that for a time zone.
    ['occurred_at', 'timestamptz', (e) => e.occurredAt.toISOString().replace(/^\+0/, '')],
    ['priority', 'text', (e) => e.priority],
    ['ordering_key', 'text', (e) => e.orderingKey],
    ['data_sealed', 'bytea', (e) => e.sealed],
  ],
  DELIVERY.next,
);

const INSERT = inBothForms(
  'accept_insert',
  (form) => `WITH locked AS (
       SELECT w.*, l.accepted,
              CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' OR l.held > 0 THEN 0
                   ELSE least(w.queued - w.tests - w.criticals, greatest(l.window_size - l.queued, 0)) END AS normals_in,
              CASE WHEN l.paused_at IS NOT NULL OR l.circuit <> 'closed' THEN 0
                   ELSE least(w.criticals, greatest(2 * l.window_size - l.queued, 0)) END AS criticals_in,
              CASE WHEN l.paused_at IS NOT NULL THEN 0 ELSE w.tests END AS tests_in
         FROM lanes l JOIN ${PLACES.sql[form]} w ON w.endpoint_id = l.endpoint_id
        ORDER BY l.endpoint_id FOR UPDATE OF l),
     counted AS (
       UPDATE lanes l SET queued = l.queued + k.normals_in + k.criticals_in + k.tests_in,
              held = l.held + k.held + k.queued - k.normals_in - k.criticals_in - k.tests_in,
              accepted = l.accepted + k.all_of_it
         FROM locked k WHERE l.endpoint_id = k.endpoint_id),
     room AS (SELECT coalesce(jsonb_object_agg(endpoint_id, normals_in), '{}') AS normals,
                       coalesce(jsonb_object_agg(endpoint_id, criticals_in), '{}') AS criticals,
                       coalesce(jsonb_object_agg(endpoint_id, tests_in), '{}') AS tests,
                       coalesce(jsonb_object_agg(endpoint_id, accepted), '{}') AS accepted FROM locked),
     placed AS (
       SELECT i.*, CASE WHEN i.place = 'queued' AND i.turn > coalesce((
                          (SELECT CASE WHEN i.trigger = 'test' THEN tests WHEN i.critical THEN criticals ELSE normals END FROM room) ->> i.endpoint_id::text)::int, 0)
                        THEN 'held' ELSE i.place END AS taken,
              coalesce(((SELECT accepted FROM room) ->> i.endpoint_id::text)::bigint, 0) + i.nth AS seq
         FROM ${DELIVERY.sql[form]} i),
     new_events AS (
       INSERT INTO events (id, subscriber_id, type, version, data, matched, traceparent, occurred_at, priority, ordering_key, data_sealed)
       SELECT * FROM ${EVENT.sql[form]} e),
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
     SELECT pg_notify('${DUE_CHANNEL}', $${EVENT.next}) WHERE $${EVENT.next}::text IS NOT NULL`,
);

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
  async insert(
    tx: Tx,
    events: NewEvent[],
    deliveries: NewDelivery[],
    notice: string | null,
    form: Form = events.length === 1 ? formOf(deliveries) : 'many',
  ): Promise<void> {
    const endpoints = [...Map.groupBy(deliveries, ({ endpointId }) => endpointId)];
    await tx.prepared(...INSERT[form], [
      ...PLACES.values(
        form,
        endpoints.map(([id, own]) => wantedPlaces(id, own)),
      ),
      ...DELIVERY.values(
        form,
        endpoints.flatMap(([, own]) => inTurn(own)),
      ),
      ...EVENT.values(
        form,
        events.map((e) => ({
          ...e,
          sealed: e.sealWith && tx.vault.unwrap(e.sealWith).seal(dataAt(e.id), e.data),
        })),
      ),
      notice,
    ]);
  },
};

function wantedPlaces(endpointId: string, deliveries: NewDelivery[]): WantedPlaces {
  const queued = deliveries.filter(({ place }) => place === 'queued');
  return {
    endpointId,
    queued: queued.length,
    tests: queued.filter(({ trigger }) => trigger === 'test').length,
    criticals: queued.filter(({ trigger, critical }) => trigger !== 'test' && critical).length,
    held: deliveries.filter(({ place }) => place === 'held').length,
    all: deliveries.length,
  };
}

/** Deliveries of one endpoint. Counted here: in the statement two window functions would sort all that it is given. */
function inTurn(deliveries: NewDelivery[]): NumberedDelivery[] {
  const turns = new Map<string, number>();
  return deliveries.map((delivery, at) => {
    const { place, trigger, critical } = delivery;
    const room = `${place} ${trigger} ${critical}`;
    const turn = (turns.get(room) ?? 0) + 1;
    turns.set(room, turn);
    return { ...delivery, turn, nth: at + 1 };
  });
}

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
