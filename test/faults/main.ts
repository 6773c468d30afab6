import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { removeLeftovers, SharedCluster } from './clusters.js';
import { FaultContext } from './fault-context.js';
import type { FaultRow, Figures } from './fault-row.js';
import { PLANTED, ROWS } from './rows.js';

const HELP = `npm run faults [-- --quick] [--part alone|rest] [--row N]… [--seed N]

Hurts a Posthorn of its own in every way the fault matrix names, and checks what must hold. One JSON line per row.

  --quick     the short variant of the rows that have one (npm test runs it)
  --row N     only this row; more than once for several
  --part P    alone: the rows that measure and want the machine for themselves; rest: the others
  --seed N    repeats the choices of a run; it is in every line
  --list      what there is
  --planted   rows that must fail, to see that the suite can`;

const EXIT_INTERRUPTED = 130;
const TIMEOUT_SECONDS = { quick: 60, whole: 300 };

interface Verdict {
  readonly row: number;
  readonly name: string;
  readonly seed: number;
  readonly ok: boolean;
  readonly figures: Figures;
  readonly error?: string;
}

let current: FaultContext | undefined;
let cluster: Promise<SharedCluster> | undefined;
let interrupted = false;

// All is ended by then: what keeps this process alive longer is a leak, which would hang whoever waits for it.
const LEAVE_MS = 5_000;

try {
  process.exitCode = await main();
} catch (error) {
  if (!interrupted) console.error(error instanceof Error ? error.message : error);
  process.exitCode = interrupted ? EXIT_INTERRUPTED : 1;
}
setTimeout(() => {
  console.error('something was left running in the suite itself:', process.getActiveResourcesInfo());
  process.exit(1);
}, LEAVE_MS).unref();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      row: { type: 'string', multiple: true, default: [] },
      part: { type: 'string' },
      seed: { type: 'string' },
      list: { type: 'boolean', default: false },
      planted: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return (console.log(HELP), 0);
  const rows = choose(values);
  if (values.list) return (console.log(rows.map(describe).join('\n')), 0);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber('seed', values.seed);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  // What a row left running when it failed fails after it: to be read, not to end the rows that follow.
  process.on('unhandledRejection', (reason) => console.error('left over:', reason));

  await removeLeftovers();
  let failed = 0;
  try {
    cluster = SharedCluster.start();
    const shared = await cluster;
    for (const row of rows) {
      const verdict = await runRow(row, shared, seed, values.quick);
      if (interrupted) return EXIT_INTERRUPTED;
      if (!verdict.ok) failed++;
      console.log(JSON.stringify(verdict));
    }
  } finally {
    if (!interrupted) await endAll();
  }
  console.log(`${rows.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function choose({
  row,
  part,
  quick,
  planted,
}: {
  row: string[];
  part?: string;
  quick: boolean;
  planted: boolean;
}): readonly FaultRow[] {
  if (part !== undefined && part !== 'alone' && part !== 'rest')
    throw new Error(`--part is alone or rest, not ${part}`);
  const wanted = row.map((text) => wholeNumber('row', text));
  const all = planted ? PLANTED : ROWS;
  const unknown = wanted.filter((number) => !all.some((each) => each.row === number));
  if (unknown.length > 0)
    throw new Error(`There is no row ${unknown.join(', ')}; --list shows what there is`);
  if (wanted.length > 0) return all.filter((each) => wanted.includes(each.row));
  return all.filter(
    (each) =>
      !(quick && each.quick === false) &&
      (part === undefined || (part === 'alone') === (each.alone === true)),
  );
}

function describe({ row, name, quick }: FaultRow): string {
  const also = quick === false ? '' : quick === 'short' ? '  (quick: short)' : '  (quick)';
  return `${String(row).padStart(3)}  ${name}${also}`;
}

async function runRow(row: FaultRow, shared: SharedCluster, seed: number, quick: boolean): Promise<Verdict> {
  const startedAt = performance.now();
  const context = new FaultContext(seed, quick, (line) => console.error(`row ${row.row}: ${line}`));
  current = context;
  console.error(`row ${row.row}: ${row.name}`);
  const seconds = row.timeoutSeconds ?? (quick ? TIMEOUT_SECONDS.quick : TIMEOUT_SECONDS.whole);
  const overdue = giveUpAfter(seconds);
  let figures: Figures = {};
  let error: string | undefined;
  try {
    const run = context.open(shared, row.cluster).then(async () => {
      const seen = await row.run(context);
      await context.nothingLeaked();
      return seen;
    });
    // When the time is over it is left to itself; its processes end below, and so does it.
    run.catch(() => undefined);
    figures = await Promise.race([run, overdue.promise]);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
    if (!interrupted)
      console.error(`${thrown instanceof Error ? thrown.stack : error}\n${await context.lastWords()}`);
  } finally {
    overdue.cancel();
    await context.close();
  }
  const tookSeconds = Math.round((performance.now() - startedAt) / 100) / 10;
  console.error(`row ${row.row}: ${error === undefined ? 'ok' : 'FAILED'} after ${tookSeconds} s`);
  const verdict = {
    row: row.row,
    name: row.name,
    seed,
    ok: error === undefined,
    figures: { ...figures, tookSeconds },
  };
  return error === undefined ? verdict : { ...verdict, error: error.slice(0, 2000) };
}

function giveUpAfter(seconds: number): { promise: Promise<never>; cancel(): void } {
  let timer: NodeJS.Timeout;
  const promise = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Given up after ${seconds} s`)), seconds * 1000);
  });
  return { promise, cancel: () => clearTimeout(timer) };
}

async function endAll(): Promise<void> {
  await current?.close();
  await (await cluster?.catch(() => undefined))?.destroy();
}

/** The first signal cleans up; whoever sends a second is not held back by a clean-up that hangs. */
function interrupt(): void {
  if (interrupted) process.exit(EXIT_INTERRUPTED);
  interrupted = true;
  console.error('ending what was started');
  void endAll().finally(() => process.exit(EXIT_INTERRUPTED));
}

function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`--${option} is a whole number, not ${text}`);
  return value;
}
