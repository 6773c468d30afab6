import { isKept, removeThrowAway, seedKept, SMALL_SIZE } from './history/history.js';
import { machineFacts } from './machine.js';
import { helpText, parseCommandLine, type BenchOptions } from './options.js';
import { medianOf } from './medians.js';
import { table } from './report.js';
import { Rig } from './rig.js';
import { isMet, type Result, type Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios/index.js';
import { removeSharedServer } from './shared-server.js';
import { round } from './statistics.js';

const EXIT_INTERRUPTED = 130;

let rig: Rig | undefined;
let interrupted = false;

try {
  process.exitCode = await main();
  await removeShared();
} catch (error) {
  if (!interrupted) console.error(error instanceof Error ? error.message : error);
  await removeShared();
  process.exitCode = interrupted ? EXIT_INTERRUPTED : 1;
}

async function main(): Promise<number> {
  const { scenario: name, json, help, options: asked } = parseCommandLine(process.argv.slice(2));
  const chosen = name === 'all' ? SCENARIOS : SCENARIOS.filter((each) => each.name === name);
  if (name === 'seed' && !help) {
    console.log(JSON.stringify(await seedKept(asked, (line) => console.error(line))));
    return 0;
  }
  if (help || chosen.length === 0) {
    console.log(helpText(SCENARIOS));
    return help ? 0 : 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  const runs = new Map<Scenario, Result[]>(chosen.map((each) => [each, []]));
  const options = name === 'all' ? await withSomeHistory(asked) : asked;
  const results: Result[] = [];
  for (let run = 1; run <= options.repeat; run++) {
    for (const scenario of chosen) {
      if (options.repeat > 1) console.error(`${scenario.name}: run ${run} of ${options.repeat}`);
      const soFar = runs.get(scenario)!;
      soFar.push(await runScenario(scenario, options));
      if (run < options.repeat) continue;
      const result = medianOf(soFar);
      results.push(result);
      if (!json) console.log(table(result));
      else if (name === 'all') console.error(`${scenario.name}: ratio ${result.ratio}, met ${result.met}`);
      else console.log(JSON.stringify(result));
    }
  }
  const ok = results.every((result) => result.ok);
  const met = results.every((result) => result.met !== false);
  if (json && name === 'all') console.log(JSON.stringify({ scenario: 'all', ok, met, results }));
  return ok ? 0 : 1;
}

/** What scenarios share: a history that was made for this run, the server of --smoke. */
async function removeShared(): Promise<void> {
  await removeThrowAway();
  await removeSharedServer();
}

/** `all` runs on a clean clone: without a kept history it makes a smaller one. */
async function withSomeHistory(options: BenchOptions): Promise<BenchOptions> {
  if (options.history !== null || (await isKept(options))) return options;
  const { deliveries, subscribers } = SMALL_SIZE;
  return { ...options, history: deliveries, subscribers: options.subscribers ?? subscribers };
}

/** Each scenario has processes and a database of its own: none inherits a warm cache or a bloated table. */
async function runScenario(scenario: Scenario, options: BenchOptions): Promise<Result> {
  const startedAt = performance.now();
  const current = new Rig(options, (line) => console.error(`${scenario.name}: ${line}`));
  rig = current;
  const overdue = giveUpAfter(
    Math.max(options.timeoutSeconds, scenario.timeoutSeconds?.(options.seconds) ?? 0),
  );
  try {
    const facts = await machineFacts(undefined);
    await Promise.race([current.measureLimit(), overdue.promise]);
    const { latency, ...outcome } = await Promise.race([scenario.run(current, options), overdue.promise]);
    const { counts = null, details = {}, cost = null, musts = [], value, unit, ratio } = outcome;
    return {
      scenario: scenario.name,
      value: round(value, 2),
      unit,
      limit: round(current.limit, 1),
      limitSpread: round(current.limitSpread, 2),
      ratio: round(ratio, 4),
      ...latency,
      ok: counts === null || (counts.missing === 0 && counts.unknown === 0),
      met: musts.length === 0 ? null : musts.every(isMet),
      musts,
      tookSeconds: round((performance.now() - startedAt) / 1000, 1),
      counts,
      details,
      cost,
      options,
      // The load average is that of before: afterwards it is our own.
      machine: { ...(await machineFacts(current.cluster)), loadAverage1m: facts['loadAverage1m']! },
    };
  } finally {
    overdue.cancel();
    await current.close();
  }
}

function giveUpAfter(seconds: number): { promise: Promise<never>; cancel(): void } {
  let timer: NodeJS.Timeout;
  const promise = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Given up after ${seconds} s`)), seconds * 1000);
  });
  return { promise, cancel: () => clearTimeout(timer) };
}

/** The first signal cleans up; whoever sends a second is not held back by a clean-up that hangs. */
function interrupt(): void {
  if (interrupted) process.exit(EXIT_INTERRUPTED);
  interrupted = true;
  console.error('ending what was started');
  void (rig?.close() ?? Promise.resolve()).then(removeShared).finally(() => process.exit(EXIT_INTERRUPTED));
}
