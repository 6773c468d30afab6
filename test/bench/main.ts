import { machineFacts } from './machine.js';
import { helpText, parseCommandLine, type BenchOptions } from './options.js';
import { table } from './report.js';
import { Rig } from './rig.js';
import { isMet, type Result, type Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios/index.js';
import { round } from './statistics.js';

const EXIT_INTERRUPTED = 130;

let rig: Rig | undefined;
let interrupted = false;

try {
  process.exitCode = await main();
} catch (error) {
  if (!interrupted) console.error(error instanceof Error ? error.message : error);
  process.exitCode = interrupted ? EXIT_INTERRUPTED : 1;
}

async function main(): Promise<number> {
  const { scenario: name, json, help, options } = parseCommandLine(process.argv.slice(2));
  const chosen = name === 'all' ? SCENARIOS : SCENARIOS.filter((each) => each.name === name);
  if (help || chosen.length === 0) {
    console.log(helpText(SCENARIOS));
    return help ? 0 : 2;
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  const results: Result[] = [];
  for (const scenario of chosen) {
    const result = await runScenario(scenario, options);
    results.push(result);
    console.log(json ? JSON.stringify(result) : table(result));
  }
  const ok = results.every((result) => result.ok);
  if (json && name === 'all') console.log(JSON.stringify({ scenario: 'all', ok, results }));
  return ok ? 0 : 1;
}

/** Each scenario has processes and a database of its own: none inherits a warm cache or a bloated table. */
async function runScenario(scenario: Scenario, options: BenchOptions): Promise<Result> {
  const startedAt = performance.now();
  const current = new Rig(options, (line) => console.error(`${scenario.name}: ${line}`));
  rig = current;
  const overdue = giveUpAfter(options.timeoutSeconds);
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
  void (rig?.close() ?? Promise.resolve()).finally(() => process.exit(EXIT_INTERRUPTED));
}
