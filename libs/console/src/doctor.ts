import { toPublicId, type Clock, type IdPrefix } from '@app/domain';
import {
  beginSnapshot,
  checkDurability,
  CURRENT_STATEMENTS,
  dataKeysRepository,
  HISTORY_STATEMENTS,
  isStatementTimeout,
  pendingMigrations,
  runGuarded,
  serverNow,
  storedDays,
  type Database,
  type DoctorStatement,
  type Finding,
  type Tx,
} from '@app/persistence';
import { spansOf } from './doctor-spans.js';

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
  lanes_exact: { says: 'every lane counts what is queued, held and waiting', prefix: 'ep' },
  ordered_have_turns: { says: 'everything ordered has a turn to wait for', prefix: 'dlv' },
  one_turn_each: { says: 'of an ordering key at most one delivery is in the queue', prefix: 'ep' },
  secrets_sealed: {
    says: 'every signing secret and header value is sealed (`posthorn keys rewrap` seals the others)',
    prefix: 'ep',
  },
  sealed_have_keys: { says: 'every subscriber has the data key of what is sealed for it', prefix: 'sub' },
  circuits_have_probes: { says: 'every half-open circuit has its probe', prefix: 'ep' },
  endpoints_have_lanes: { says: 'every endpoint has a lane', prefix: 'ep' },
  stopped_endpoints_quiet: {
    says: 'nothing is pending for a stopped endpoint for more than a minute',
    prefix: 'dlv',
  },
  partitions_ahead: { says: 'there are partitions for today and two days ahead' },
  default_partitions_empty: { says: 'no row has an id from a wrong clock' },
  indexes_valid: { says: 'every index is valid' },
  events_have_deliveries: {
    says: 'every event has one delivery for each endpoint that matched',
    prefix: 'evt',
  },
  deliveries_have_events: { says: 'every delivery has its event', prefix: 'dlv' },
  attempts_dense: { says: 'attempts are numbered from 1 without gaps, and all are counted', prefix: 'dlv' },
  delivered_has_attempt: {
    says: 'every delivered delivery has an attempt that was answered with 2xx',
    prefix: 'dlv',
  },
};

// Below the pool's own bound of a statement (10 s), so that the server ends it and says so.
const STATEMENT_MS = 9_000;
const CLOCK_SKEW_MS_MAX = 2_000;

/** Proves by SQL what SQL can prove, on one snapshot, while everything runs. Changes nothing. */
export async function runDoctor(
  database: Database,
  clock: Clock,
  options: DoctorOptions = {},
): Promise<DoctorReport> {
  const statementMs = options.statementMs ?? STATEMENT_MS;
  const server = await checkServer(database, clock, options);
  const promises = await database.transaction(async (tx) => {
    await beginSnapshot(tx, statementMs);
    const checks = [await checkMigrations(tx)];
    // Without the tables there is nothing to look into.
    if (!checks[0].ok) return checks;
    checks.push(await countDataKeys(tx));
    for (const statement of CURRENT_STATEMENTS)
      checks.push(...(await examine(tx, statement, [[]], statementMs)));
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

async function checkServer(
  database: Database,
  clock: Clock,
  { allowLossy }: DoctorOptions,
): Promise<Check[]> {
  const lossy = await checkDurability(database);
  // With a connection at hand: the time of making one is no skew.
  const before = clock.now().getTime();
  const now = await serverNow(database);
  const after = clock.now().getTime();
  const skewMs = Math.round(now.getTime() - (before + after) / 2);
  const skewed = Math.abs(skewMs) > CLOCK_SKEW_MS_MAX;
  return [
    {
      name: 'clocks_agree',
      ok: !skewed,
      found: Number(skewed),
      detail: `this machine's clock and the database's differ by at most ${CLOCK_SKEW_MS_MAX} ms: the database is ${skewMs} ms ahead`,
    },
    {
      name: 'commits_are_durable',
      ok: lossy === null || allowLossy === true,
      found: lossy === null ? 0 : 1,
      detail: lossy ?? 'the server keeps what it has confirmed',
    },
  ];
}

async function checkMigrations(tx: Tx): Promise<Check> {
  const missing = await pendingMigrations(tx);
  const name = 'schema_up_to_date';
  if (missing.length === 0) return { name, ok: true, found: 0, detail: 'the schema is up to date' };
  return {
    name,
    ok: false,
    found: missing.length,
    detail: 'the schema is not up to date: run `posthorn migrate`',
    sample: missing,
  };
}

/** Never wrong: which KEKs are still needed. */
async function countDataKeys(tx: Tx): Promise<Check> {
  const counts = await dataKeysRepository.countByKek(tx);
  const text = counts.map(({ kekId, n }) => `${n} by ${kekId}`).join(', ');
  return {
    name: 'data_keys',
    ok: true,
    found: 0,
    detail: `data keys are wrapped: ${text || 'there are none'}`,
  };
}

/** Runs a statement over each span and adds up what it finds. */
async function examine(
  tx: Tx,
  statement: DoctorStatement,
  spans: string[][],
  statementMs: number,
): Promise<Check[]> {
  const found = new Map<string, Finding>(
    statement.names.map((name) => [name, { name, found: 0, sample: [] }]),
  );
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
  const unproven =
    unfinished > 0
      ? `; ${unfinished} statement(s) did not end within ${statementMs} ms, so it is not proved`
      : '';
  const check: Check = {
    name,
    ok: found === 0 && unfinished === 0,
    found,
    detail: `${says}${found > 0 ? `: ${found} do not` : ''}${unproven}`,
  };
  if (sample.length > 0) check.sample = sample.map((id) => (prefix ? toPublicId(prefix, id) : id));
  return check;
}
