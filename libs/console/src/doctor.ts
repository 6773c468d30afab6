import { EVENT_ID_AGE_HOURS_MAX } from '@app/contracts';
import { toPublicId, uuidFloor, type Clock, type IdPrefix } from '@app/domain';
import {
  beginSnapshot,
  CURRENT_STATEMENTS,
  HISTORY_STATEMENTS,
  isStatementTimeout,
  missingMigrations,
  runGuarded,
  serverState,
  storedDays,
  type Database,
  type DoctorStatement,
  type Finding,
  type HistorySpan,
  type Tx,
} from '@app/persistence';

export interface Check {
  name: string;
  ok: boolean;
  /** How many break the promise. */
  found: number;
  /** The promise, and what is wrong when it is broken. */
  detail: string;
  /** A few of those that break it. */
  sample?: string[];
}

export interface DoctorReport {
  ok: boolean;
  checks: Check[];
}

export interface DoctorOptions {
  /** Bound of each statement. The connection's own bounds (data-source.ts) must be wider. */
  statementMs?: number;
  /** `DANGEROUS_ALLOW_LOSSY_DATABASE`: a server that may lose commits is told, not refused. */
  allowLossy?: boolean;
}

/** What each promise says, and the prefix of the ids that break it. */
const PROMISES: Record<string, { says: string; prefix?: IdPrefix }> = {
  pending_has_ticket: { says: 'every pending delivery has a ticket or is held', prefix: 'dlv' },
  held_without_ticket: { says: 'no held delivery has a ticket', prefix: 'dlv' },
  ticket_has_delivery: { says: 'every ticket is of a delivery that exists', prefix: 'dlv' },
  finished_without_ticket: { says: 'no finished delivery has a ticket', prefix: 'dlv' },
  lanes_exact: { says: 'every lane counts what is queued and held', prefix: 'ep' },
  endpoints_have_lanes: { says: 'every endpoint has a lane', prefix: 'ep' },
  stopped_endpoints_quiet: { says: 'nothing is pending for a stopped endpoint for more than a minute', prefix: 'dlv' },
  partitions_ahead: { says: 'there are partitions for today and two days ahead' },
  default_partitions_empty: { says: 'no row has an id from a wrong clock' },
  indexes_valid: { says: 'every index is valid' },
  events_have_deliveries: { says: 'every event has one delivery for each endpoint that matched', prefix: 'evt' },
  deliveries_have_events: { says: 'every delivery has its event', prefix: 'dlv' },
  attempts_dense: { says: 'attempts are numbered from 1 without gaps, and all are counted', prefix: 'dlv' },
  delivered_has_attempt: { says: 'every delivered delivery has an attempt that was answered with 2xx', prefix: 'dlv' },
};

// Below the pool's own bound of a statement (10 s), so that the server ends it and says so.
const STATEMENT_MS = 9_000;
const CLOCK_SKEW_MS_MAX = 2_000;

/** Proves by SQL what SQL can prove, on one snapshot, while everything runs. Changes nothing. */
export async function runDoctor(database: Database, clock: Clock, options: DoctorOptions = {}): Promise<DoctorReport> {
  const statementMs = options.statementMs ?? STATEMENT_MS;
  const server = await checkServer(database, clock, options);
  const promises = await database.transaction(async (tx) => {
    await beginSnapshot(tx, statementMs);
    const checks = [await checkMigrations(tx)];
    // Without the tables there is nothing to look into.
    if (!checks[0].ok) return checks;
    for (const statement of CURRENT_STATEMENTS) checks.push(...(await examine(tx, statement, [[]], statementMs)));
    const spans = spansOf(await storedDays(tx), clock.now());
    for (const statement of HISTORY_STATEMENTS) {
      const values = spans.map((span) => statement.parameters.map((name) => span[name]));
      checks.push(...(await examine(tx, statement, values, statementMs)));
    }
    return checks;
  });
  const checks = [...server, ...promises];
  return { ok: checks.every((check) => check.ok), checks };
}

async function checkServer(database: Database, clock: Clock, { allowLossy }: DoctorOptions): Promise<Check[]> {
  // A connection first: the time of making one is no skew.
  await database.query('SELECT 1');
  const before = clock.now().getTime();
  const server = await serverState(database);
  const after = clock.now().getTime();
  const skewMs = Math.round(server.now.getTime() - (before + after) / 2);
  const skewed = Math.abs(skewMs) > CLOCK_SKEW_MS_MAX;
  const lossy = Object.entries({
    fsync: server.fsync,
    synchronous_commit: server.synchronousCommit,
    full_page_writes: server.fullPageWrites,
  }).flatMap(([name, value]) => (value === 'off' ? [`${name}=off`] : []));
  return [
    {
      name: 'clocks_agree',
      ok: !skewed,
      found: Number(skewed),
      detail: `this machine's clock and the database's differ by at most ${CLOCK_SKEW_MS_MAX} ms: the database is ${skewMs} ms ahead`,
    },
    {
      name: 'commits_are_durable',
      ok: lossy.length === 0 || allowLossy === true,
      found: lossy.length,
      detail: lossy.length === 0 ? 'the server keeps what it has confirmed' : `the server may lose commits: ${lossy.join(', ')}`,
    },
  ];
}

async function checkMigrations(tx: Tx): Promise<Check> {
  const says = 'the schema is up to date';
  try {
    const missing = await missingMigrations(tx);
    if (missing.length === 0) return { name: 'schema_up_to_date', ok: true, found: 0, detail: says };
    return { name: 'schema_up_to_date', ok: false, found: missing.length, detail: 'run `posthorn migrate`', sample: missing };
  } catch (error) {
    if ((error as { code?: string }).code !== '42P01') throw error;
    return { name: 'schema_up_to_date', ok: false, found: 1, detail: 'there is no schema: run `posthorn migrate`' };
  }
}

/** Runs a statement over each span and adds up what it finds. */
async function examine(tx: Tx, statement: DoctorStatement, spans: string[][], statementMs: number): Promise<Check[]> {
  const found = new Map<string, Finding>(statement.names.map((name) => [name, { name, found: 0, sample: [] }]));
  let unfinished = 0;
  for (const span of spans) {
    try {
      for (const row of await runGuarded(tx, statement.sql, span)) {
        const sum = found.get(row.name)!;
        sum.found += row.found;
        sum.sample.push(...row.sample.slice(0, 5 - sum.sample.length));
      }
    } catch (error) {
      if (!isStatementTimeout(error)) throw error;
      unfinished++;
    }
  }
  return [...found.values()].map((finding) => checkOf(finding, unfinished, statementMs));
}

function checkOf({ name, found, sample }: Finding, unfinished: number, statementMs: number): Check {
  const { says, prefix } = PROMISES[name];
  const unproven = unfinished > 0 ? `; ${unfinished} statement(s) did not end within ${statementMs} ms, so it is not proved` : '';
  const check: Check = { name, ok: found === 0 && unfinished === 0, found, detail: `${says}${found > 0 ? `: ${found} do not` : ''}${unproven}` };
  if (sample.length > 0) check.sample = sample.map((id) => (prefix ? toPublicId(prefix, id) : id));
  return check;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
// Some seconds of hashing at most; a larger day is looked at in pieces.
const ROWS_PER_SPAN = 500_000;
const PIECES_MAX = 288;

/**
 * Days from tomorrow (an event's id may be minutes ahead) back to the first gap, in pieces of a bounded size. Beyond a
 * gap lies what is kept for a delivery that is still pending: its neighbours are missing.
 */
function spansOf(days: { day: string; rows: number }[], now: Date): HistorySpan[] {
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  const rowsByStart = new Map(days.map(({ day, rows }) => [startOf(day), rows]));
  const run: { start: number; rows: number }[] = [];
  for (let start = today + DAY_MS; start >= today || rowsByStart.has(start); start -= DAY_MS)
    run.push({ start, rows: rowsByStart.get(start) ?? 0 });
  // Deliveries of the oldest day's first minutes, or their events, may be of the day before.
  const complete = uuidFloor(run.at(-1)!.start + HOUR_MS);
  const younger = (EVENT_ID_AGE_HOURS_MAX + 1) * HOUR_MS;
  return run.flatMap(({ start, rows }) => {
    const pieces = Math.min(Math.max(Math.ceil(rows / ROWS_PER_SPAN), 1), PIECES_MAX);
    return Array.from({ length: pieces }, (_, at): HistorySpan => {
      const low = start + Math.floor((at * DAY_MS) / pieces);
      const high = start + Math.floor(((at + 1) * DAY_MS) / pieces);
      return {
        low: uuidFloor(low),
        high: uuidFloor(high),
        complete,
        deliveriesLow: uuidFloor(low - HOUR_MS),
        deliveriesHigh: uuidFloor(high + younger),
        eventsLow: uuidFloor(low - younger),
        eventsHigh: uuidFloor(high + HOUR_MS),
      };
    });
  });
}

function startOf(day: string): number {
  return Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6, 8)));
}
