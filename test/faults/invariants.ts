import { runDoctor } from '@app/console';
import { FAILURES, fromPublicId, systemClock } from '@app/domain';
import { verify } from '@app/signing';
import { openDatabase, sha256 } from '../support/fixtures.js';
import { storedSecrets } from '../support/keks.js';
import type { JournalEntry } from '../support/receiver/journal.js';
import type { Tables } from '../support/tables.js';
import type { Receiver } from '../support/receiver/receiver.js';
import type { Figures } from './fault-row.js';

/** What this row allows beyond the rules. Everything is 0 unless said. */
export interface Expectations {
  /** Public ids of the events that were answered 202: each must be stored, and delivered by now unless `unsettled`. */
  readonly accepted?: Iterable<string>;
  /** What each Idempotency-Key was answered; the key stands in the event's `data.key` too. */
  readonly answered?: ReadonlyMap<string, string>;
  /** Deliveries may still be pending at the end. */
  readonly unsettled?: boolean;
  /** Deliveries whose receiver was asked again though it had answered 2xx: crashes and expired claims cause them. */
  readonly repeatsMax?: number;
  /** Requests that no attempt records: their worker died between sending and committing. */
  readonly unrecordedMax?: number;
  /** Attempts of workers whose clock the row has set; nothing can be said about their times. */
  readonly clocksAreWrong?: boolean;
}

interface Judged {
  readonly tables: Tables;
  readonly databaseUrl: string;
  readonly receivers: readonly Receiver[];
}

/** faults.md's invariants, as far as they can be seen from outside. @throws at the first that does not hold */
export async function checkInvariants(judged: Judged, expectations: Expectations): Promise<Figures> {
  const { tables, receivers } = judged;
  const journal = (await Promise.all(receivers.map((receiver) => receiver.journal()))).flat();
  const requests = Map.groupBy(
    journal.filter((entry) => entry.complete),
    deliveryOf,
  );
  const states = await nothingIsLost(tables, expectations);
  await keysMakeOneEvent(tables, expectations);
  const unrecorded = await requestsAreRecorded(tables, requests, expectations);
  await deliveredIsInTheJournal(tables, requests);
  const repeats = repeatsAreEqual(requests, expectations);
  await attemptsAreInOrder(tables, expectations);
  await triesAreTheReceivers(tables);
  await doctorIsContent(judged.databaseUrl);
  return { ...states, requests: journal.length, repeats, unrecorded };
}

const deliveryOf = (entry: JournalEntry): string => entry.headers['posthorn-delivery'] as string;
const wasTaken = (entry: JournalEntry): boolean => /^2\d\d$/.test(entry.answer) || entry.answer === 'slow';

/** I1: every accepted event is stored with all its deliveries, and each of these is over (or `unsettled`). */
async function nothingIsLost(
  tables: Tables,
  { accepted, answered, unsettled }: Expectations,
): Promise<Figures> {
  const counts = await tables.row<{ events: number; matched: number; deliveries: number; pending: number }>(
    `SELECT (SELECT count(*)::int FROM events) AS events, (SELECT coalesce(sum(matched), 0)::int FROM events) AS matched,
            (SELECT count(*)::int FROM deliveries) AS deliveries,
            (SELECT count(*)::int FROM deliveries WHERE status = 'pending') AS pending`,
  );
  const told = new Set(
    [...(accepted ?? []), ...(answered?.values() ?? [])].map((id) => fromPublicId('evt', id)!),
  );
  const stored = new Set((await tables.rows<{ id: string }>('SELECT id FROM events')).map(({ id }) => id));
  const lost = [...told].filter((id) => !stored.has(id));
  insist(
    lost.length === 0,
    `I1: ${lost.length} events that were answered 202 are not stored`,
    lost.slice(0, 5),
  );
  insist(counts.matched === counts.deliveries, 'I1: events and deliveries differ', counts);
  if (!unsettled) {
    insist(counts.pending === 0, 'I1: deliveries are still pending', counts);
    const claimed = await tables.row<{ n: number }>(
      `SELECT count(*)::int AS n FROM pgboss.job WHERE name = 'deliver'`,
    );
    insist(claimed.n === 0, 'I10: tickets are left', claimed);
  }
  return { events: counts.events, deliveries: counts.deliveries, pending: counts.pending };
}

/** I12: a key never makes two events, and its answer names the one it made. */
async function keysMakeOneEvent(tables: Tables, { answered }: Expectations): Promise<void> {
  if (!answered) return;
  const stored = await tables.rows<{ id: string; key: string }>(
    `SELECT id, data::json ->> 'key' AS key FROM events WHERE data::json ->> 'key' IS NOT NULL`,
  );
  const keys = new Set(stored.map(({ key }) => key));
  insist(keys.size === stored.length, 'I12: a key made more than one event', stored.length - keys.size);
  const wrong = stored.filter(
    ({ id, key }) => answered.has(key) && fromPublicId('evt', answered.get(key)!) !== id,
  );
  insist(wrong.length === 0, 'I12: a key was answered with another event', wrong.slice(0, 5));
}

/** I3: whatever a receiver saw is on record, but for what a worker had under way when it died. */
async function requestsAreRecorded(
  tables: Tables,
  requests: Map<string, JournalEntry[]>,
  { unrecordedMax = 0 }: Expectations,
): Promise<number> {
  const rows = await tables.rows<{ id: string; n: number }>('SELECT id, attempts::int AS n FROM deliveries');
  const recorded = new Map(rows.map(({ id, n }) => [id, n]));
  let unrecorded = 0;
  for (const [delivery, entries] of requests)
    unrecorded += Math.max(0, entries.length - (recorded.get(fromPublicId('dlv', delivery) ?? '') ?? 0));
  insist(unrecorded <= unrecordedMax, `I3: ${unrecorded} requests are on no record, ${unrecordedMax} may be`);
  return unrecorded;
}

/** I2: what is called delivered was answered 2xx, in a request whose signature holds. */
async function deliveredIsInTheJournal(tables: Tables, requests: Map<string, JournalEntry[]>): Promise<void> {
  const delivered = await tables.rows<{ id: string; endpoint_id: string; url: string }>(
    `SELECT d.id, d.endpoint_id, e.url FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE d.status = 'delivered'`,
  );
  const secrets = Map.groupBy(await storedSecrets(tables), (row) => row.endpointId);
  const taken = new Map(
    [...requests].map(([id, entries]) => [fromPublicId('dlv', id), entries.filter(wasTaken)]),
  );
  for (const { id, endpoint_id } of delivered) {
    const entries = taken.get(id) ?? [];
    insist(entries.length > 0, `I2: ${id} is delivered and no receiver has taken it`);
    const keys = (secrets.get(endpoint_id) ?? []).map(({ secret }) => secret);
    const ofItsTime = entries.some((entry) => {
      const headers = entry.headers as Record<string, string>;
      const now = new Date(Number(headers['webhook-timestamp']) * 1000);
      return verify(headers, entry.body, keys, { now }).ok;
    });
    insist(ofItsTime, `I2: no signature of ${id} holds`);
  }
}

/** I4: a repeat is the same request, and there are no more of them than the row can explain. */
function repeatsAreEqual(requests: Map<string, JournalEntry[]>, { repeatsMax = 0 }: Expectations): number {
  let repeats = 0;
  for (const [delivery, entries] of requests) {
    insist(
      new Set(entries.map((entry) => entry.headers['webhook-id'])).size === 1,
      `I4: two ids of ${delivery}`,
    );
    insist(new Set(entries.map((entry) => sha256(entry.body))).size === 1, `I4: two bodies of ${delivery}`);
    repeats += Math.max(0, entries.filter(wasTaken).length - 1);
  }
  insist(repeats <= repeatsMax, `I4: ${repeats} deliveries were taken twice, ${repeatsMax} may be`);
  return repeats;
}

/** I5, I6, I7: none after the end, none earlier than planned, none to a disabled endpoint, numbers dense (doctor too). */
async function attemptsAreInOrder(tables: Tables, { clocksAreWrong }: Expectations): Promise<void> {
  const after = await tables.rows(
    `SELECT a.delivery_id, a.n FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
      WHERE NOT a.late AND d.finished_at IS NOT NULL AND a.n > d.attempts`,
  );
  insist(after.length === 0, 'I5: attempts after the end', after.slice(0, 5));
  const twice = await tables.rows(`SELECT delivery_id, n FROM attempts GROUP BY 1, 2 HAVING count(*) > 1`);
  insist(twice.length === 0, 'I6: two attempts with one number', twice.slice(0, 5));
  if (clocksAreWrong) return;
  // The worker's clock and the database's are this machine's; what is left is their rounding. A late one was planned
  // for a time that its delivery no longer knows.
  const early = await tables.rows(
    `SELECT delivery_id, n, scheduled_at, started_at FROM attempts
      WHERE NOT late AND started_at < scheduled_at - interval '20 ms'`,
  );
  insist(early.length === 0, 'I7: attempts before their time', early.slice(0, 5));
  const disabled = await tables.rows(
    `SELECT a.delivery_id, a.n FROM attempts a JOIN endpoints e ON e.id = a.endpoint_id
      WHERE a.started_at > e.disabled_at + interval '1 second'`,
  );
  insist(disabled.length === 0, 'I5: attempts to a disabled endpoint', disabled.slice(0, 5));
}

const NOT_CHARGED = Object.entries(FAILURES)
  .filter(([, { chargeTo }]) => chargeTo === 'platform')
  .map(([name]) => name);
const NOT_THE_RECEIVERS = Object.entries(FAILURES)
  .filter(([, { chargeTo }]) => chargeTo !== 'receiver')
  .map(([name]) => name);

/** I11: a delivery that was never sent again by hand has spent the tries that its receiver cost, and no other. */
async function triesAreTheReceivers(tables: Tables): Promise<void> {
  const wrong = await tables.rows(
    `SELECT d.id, d.tries, a.most, a.least FROM deliveries d,
       LATERAL (SELECT count(*) FILTER (WHERE NOT late AND (failure IS NULL OR failure <> ALL ($1::text[])))::int AS most,
                       count(*) FILTER (WHERE NOT late AND (failure IS NULL OR failure <> ALL ($2::text[])))::int AS least,
                       bool_or(trigger IN ('resend', 'replay')) AS again
                  FROM attempts WHERE delivery_id = d.id) a
      WHERE d.trigger IN ('event', 'retry') AND a.again IS NOT TRUE AND NOT d.tries BETWEEN a.least AND a.most`,
    [NOT_CHARGED, NOT_THE_RECEIVERS],
  );
  insist(
    wrong.length === 0,
    'I11: tries were spent for what was no fault of the receiver',
    wrong.slice(0, 5),
  );
}

/** In this process: one for each look costs half a second of a core. The command itself is up.e2e.ts's. */
async function doctorIsContent(databaseUrl: string): Promise<void> {
  const database = await openDatabase(databaseUrl);
  try {
    const { checks } = await runDoctor(database, systemClock);
    const bad = checks.filter((check) => !check.ok);
    insist(checks.length > 8 && bad.length === 0, 'doctor', bad);
  } finally {
    await database.close();
  }
}

function insist(condition: boolean, message: string, seen?: unknown): asserts condition {
  if (!condition) throw new Error(seen === undefined ? message : `${message}: ${JSON.stringify(seen)}`);
}
